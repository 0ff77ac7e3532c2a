import { type KeptRefused, RefusedUnavailable, type RefusedWebhooks } from '@paystream/nats';
import {
  addToLine,
  askAgain,
  bytesBody,
  type Door,
  jsonBody,
  onlyMethods,
  Problem,
  parseInput,
  sequenceSchema,
} from '@paystream/runtime';
import type { Express, Response } from 'express';
import type { z } from 'zod';
import type { RefusedKeeper } from './refused-keeper.ts';
import {
  type refusedPageSchema,
  refusedQuerySchema,
  type retriedSchema,
  retrySchema,
} from './refused-schemas.ts';
import type { Retried } from './retry-refused.ts';

export interface RefusedRoutesOptions {
  door: Door;
  refused: Pick<RefusedWebhooks, 'find' | 'get'>;
  counts: RefusedKeeper['counts'];
  retry: (sequence: number) => Promise<Retried>;
  /** Why nothing can be published now, or undefined. */
  closedBecause: () => string | undefined;
}

/** `GET /refused`, one of them, and its retry. */
export function mountRefused(app: Express, options: RefusedRoutesOptions): void {
  const { door, refused, counts, retry, closedBecause } = options;
  app.get('/refused', door.needs('viewer'), async (req, res) => {
    const { limit, cursor, from, to, ...filter } = parseInput(refusedQuerySchema, req.query);
    const page = await answered(() =>
      refused.find({
        filter: { ...filter, from: toDate(from), to: toDate(to) },
        after: Number(cursor ?? 0),
        limit,
      }),
    );
    const body = {
      items: page.webhooks.map(summaryBody),
      nextCursor: page.next === undefined ? null : String(page.next),
      notKept: counts().notKept,
    };
    res.set('cache-control', 'no-store').json(body);
  });
  app.get('/refused/:sequence', door.needs('viewer'), async (req, res) => {
    const sequence = sequenceOf(req.params.sequence, res);
    const found = await answered(() => refused.get(sequence));
    if (found === undefined) throw unknown(sequence);
    res.set('cache-control', 'no-store').json(webhookBody(found));
  });
  app.all(['/refused', '/refused/:sequence'], onlyMethods('GET', 'HEAD'));

  app.post('/refused/:sequence/retry', door.needs('operator'), ...jsonBody(), async (req, res) => {
    const sequence = sequenceOf(req.params.sequence, res);
    const { reason } = parseInput(retrySchema, req.body);
    // Who it is stands in the line already: the door has put it there.
    addToLine(res, { reason });
    const closed = closedBecause();
    if (closed !== undefined) throw askAgain('broker-unavailable', closed);
    const retried = await answered(() => retry(sequence));
    res.set('cache-control', 'no-store').json(retriedBody(sequence, retried, res));
  });
  app.all('/refused/:sequence/retry', onlyMethods('POST'));
}

const toDate = (text: string | undefined) => (text === undefined ? undefined : new Date(text));

function sequenceOf(text: unknown, res: Response): number {
  const sequence = parseInput(sequenceSchema, text, 'sequence');
  addToLine(res, { refused: sequence });
  return sequence;
}

const unknown = (sequence: number) =>
  new Problem(
    'unknown-refused-webhook',
    `There is no refused webhook ${sequence}: a retry has taken it (the log tells whose), or it made room, or 7 days are over.`,
  );

async function answered<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RefusedUnavailable)) throw error;
    throw askAgain('refused-unavailable', 'The broker does not say what is kept; ask again.');
  }
}

type Body = z.input<typeof retriedSchema>;

/** What became of it, also for the line in the log: who did it stands there. */
function retriedBody(sequence: number, retried: Retried, res: Response): Body {
  switch (retried.kind) {
    case 'unknown':
      throw unknown(sequence);
    case 'unavailable':
      addToLine(res, {
        source: retried.source,
        outcome: 'unavailable',
        detail: retried.detail.slice(0, 300),
      });
      throw askAgain(
        'broker-unavailable',
        'What comes of it cannot be stored now; retry again.',
        retried.retryAfterS,
      );
    case 'refused': {
      const { source, code, detail } = retried;
      addToLine(res, { source, outcome: 'refused', refusal: code });
      return { sequence, outcome: 'refused', code, detail, messages: [] };
    }
    case 'accepted': {
      const { source, accepted, messages } = retried;
      const ids = messages.map(({ id }) => id);
      addToLine(res, { source, outcome: 'accepted', key: accepted.keyId, ids: ids.slice(0, 10) });
      return { sequence, outcome: 'accepted', code: null, detail: '', messages };
    }
    default:
      return retried satisfies never;
  }
}

type Item = z.input<typeof refusedPageSchema>['items'][number];

function summaryBody({ sequence, source, reason, detail, receivedAt, keptAt, body }: KeptRefused): Item {
  return {
    ...{ sequence, source, reason, detail },
    receivedAt: receivedAt.toISOString(),
    keptAt: keptAt.toISOString(),
    bytes: body.length,
  };
}

function webhookBody(kept: KeptRefused) {
  return { ...summaryBody(kept), headers: kept.headers, body: bytesBody(kept.body) };
}
