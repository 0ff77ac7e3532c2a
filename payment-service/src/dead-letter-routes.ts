import {
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetters,
  DeadLettersUnavailable,
} from '@paystream/nats';
import {
  addToLine,
  askAgain,
  bytesBody,
  type Door,
  jsonBody,
  onlyMethods,
  operatorOf,
  Problem,
  parseInput,
  sequenceSchema,
} from '@paystream/runtime';
import type { Express, Response } from 'express';
import type { z } from 'zod';
import {
  deadLetterQuerySchema,
  redriveManySchema,
  redriveOneSchema,
  redriveQuerySchema,
} from './dead-letter-schemas.ts';
import type { Redriver } from './redrive.ts';
import type { RedriveStore, StoredRedrive } from './redrive-store.ts';
import { readDelivery } from './settling.ts';
import { guarded } from './transaction-routes.ts';

export interface DeadLetterRoutesOptions {
  door: Door;
  letters: DeadLetters;
  redriver: Redriver;
  redrives: RedriveStore;
}

// Found by looking at one after the other: about 5,000 a second.
const lookAtMax = 2_000;
const redrivesShown = 20;

/** The dead letters, and their redrives. */
export function mountDeadLetters(app: Express, options: DeadLetterRoutesOptions): void {
  const { door, letters, redrives } = options;
  mountRedrives(app, options);

  app.get('/dead-letters', door.needs('viewer'), async (req, res) => {
    const { limit, cursor, ...filter } = parseInput(deadLetterQuerySchema, req.query);
    const page = await answered(async () => {
      const found = await letters.find({
        filter: toFilter(filter),
        after: Number(cursor ?? 0),
        limit,
        lookAtMax,
      });
      return { ...found, latest: await redrives.latestOf(found.letters.map(({ id }) => id)) };
    });
    res.set('cache-control', 'no-store').json({
      items: page.letters.map((letter) => summaryBody(letter, page.latest.get(letter.id))),
      nextCursor: page.next === undefined ? null : String(page.next),
    });
  });
  app.get('/dead-letters/:sequence', door.needs('viewer'), async (req, res) => {
    const sequence = sequenceOf(req.params.sequence, res);
    const found = await answered(async () => {
      const letter = await letters.get(sequence);
      if (letter === undefined) return undefined;
      const history = await redrives.list({ letter: letter.id, limit: redrivesShown });
      return letterBody(letter, history.items);
    });
    if (found === undefined) throw unknown(sequence);
    res.set('cache-control', 'no-store').json(found);
  });
  app.all(['/dead-letters', '/dead-letters/:sequence'], onlyMethods('GET', 'HEAD'));
}

function mountRedrives(app: Express, { door, redriver, redrives }: DeadLetterRoutesOptions): void {
  app.post('/dead-letters/redrive', door.needs('operator'), ...jsonBody(), async (req, res) => {
    const { filter, reason, dryRun, limit, cursor } = parseInput(redriveManySchema, req.body);
    addToLine(res, { filter, reason, dryRun });
    const query = { filter: toFilter(filter), after: Number(cursor ?? 0), limit };
    const order = { by: operatorOf(res), reason };
    const { count, items, next } = await answered(async () => {
      if (dryRun) return { ...(await redriver.count(query)), items: [] };
      const done = await redriver.many(query, order);
      return { count: done.redriven.length, items: done.redriven, next: done.next };
    });
    const failed = items.filter(({ outcome }) => outcome === 'failed').length;
    const nextCursor = next === undefined ? null : String(next);
    res.set('cache-control', 'no-store').json({ dryRun, count, failed, items, nextCursor });
  });
  app.all('/dead-letters/redrive', onlyMethods('POST'));

  app.post('/dead-letters/:sequence/redrive', door.needs('operator'), ...jsonBody(), async (req, res) => {
    const sequence = sequenceOf(req.params.sequence, res);
    const { reason } = parseInput(redriveOneSchema, req.body);
    addToLine(res, { reason });
    const redriven = await answered(() => redriver.one(sequence, { by: operatorOf(res), reason }));
    if (redriven === undefined) throw unknown(sequence);
    res.set('cache-control', 'no-store').json(redriven);
  });
  app.all('/dead-letters/:sequence/redrive', onlyMethods('POST'));

  app.get('/redrives', door.needs('viewer'), async (req, res) => {
    const { cursor, ...query } = parseInput(redriveQuerySchema, req.query);
    const { items, next } = await answered(() => redrives.list({ ...query, before: cursor }));
    res.set('cache-control', 'no-store').json({ items, nextCursor: next ?? null });
  });
  app.all('/redrives', onlyMethods('GET', 'HEAD'));
}

function sequenceOf(text: unknown, res: Response): number {
  const sequence = parseInput(sequenceSchema, text, 'sequence');
  addToLine(res, { sequence });
  return sequence;
}

const unknown = (sequence: number) =>
  new Problem(
    'unknown-dead-letter',
    `There is no dead letter ${sequence}; whether it was redriven tells GET /redrives?sequence=${sequence}.`,
  );

/** A broker or a database that is away is 503 for whoever asks. What was redriven by then is written down. */
async function answered<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await guarded(work, 'The record cannot be read or written now; ask again.');
  } catch (error) {
    if (!(error instanceof DeadLettersUnavailable)) throw error;
    throw askAgain('dead-letters-unavailable', 'The broker does not say what is among them; ask again.');
  }
}

type Given = Pick<z.output<typeof deadLetterQuerySchema>, 'reason' | 'action' | 'from' | 'to'>;
const toFilter = ({ reason, action, from, to }: Given): DeadLetterFilter => ({
  reason,
  action,
  from: from === undefined ? undefined : new Date(from),
  to: to === undefined ? undefined : new Date(to),
});

function summaryBody(letter: DeadLetter, lastRedrive: StoredRedrive | undefined) {
  const { sequence, id, deadAt, reason, detail, message } = letter;
  const event = eventOf(letter);
  return {
    ...{ sequence, id, deadAt, reason, detail },
    firstError: letter.firstError ?? null,
    lastError: letter.lastError ?? null,
    subject: message.subject,
    storedAt: message.storedAt,
    storedSequence: message.sequence,
    deliveries: message.deliveries,
    txId: event?.txId ?? null,
    eventId: event?.eventId ?? null,
    lastRedrive: lastRedrive ?? null,
  };
}

function letterBody(letter: DeadLetter, redrives: readonly StoredRedrive[]) {
  const { data, headers } = letter.message;
  return {
    ...summaryBody(letter, redrives[0]),
    headers: Object.fromEntries(headers),
    body: bytesBody(data),
    event: eventOf(letter) ?? null,
    redrives,
  };
}

/** Whatever is wrong with a dead letter, it must be possible to look at it. */
function eventOf({ message }: DeadLetter) {
  try {
    const read = readDelivery(message);
    return read.kind === 'event' ? read.event : undefined;
  } catch {
    return undefined;
  }
}
