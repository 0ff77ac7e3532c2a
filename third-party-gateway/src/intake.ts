import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Publisher, PublishOutcome } from '@paystream/nats';
import { addToLine, checkJsonType, Problem } from '@paystream/runtime';
import type { Request, Response } from 'express';
import getRawBody from 'raw-body';
import type { Adapter, Translation } from './adapters/adapter.ts';

/** The largest webhook that is read. Providers stay far below: their largest are about 60 KiB. */
export const bodyBytesMax = 262_144;

export interface IntakeOptions {
  /** The adapter of each configured source, by the source's name. */
  sources: ReadonlyMap<string, Adapter>;
  publisher: Publisher;
  /** Why nothing can be taken now, or undefined. */
  closedBecause: () => string | undefined;
}

/**
 * Takes one webhook: answers 200 only when the stream holds its event, and says whether it did before. Whatever
 * goes wrong is thrown as a Problem, and then the sender has to send again or to mend what it sends.
 */
export function createIntake({ sources, publisher, closedBecause }: IntakeOptions) {
  return async (req: Request, res: Response): Promise<void> => {
    const receivedAt = new Date();
    const source = String(req.params.source);
    const adapter = sources.get(source);
    if (adapter === undefined) throw new Problem('unknown-source', `No source of that name is configured.`);
    addToLine(res, { source });
    checkJsonType(req);

    const body = await readBody(req);
    const event = eventOf(adapter.translate({ source, headers: req.headers, body, receivedAt }));
    addToLine(res, { txId: event.txId, action: event.action, eventId: event.eventId });

    const closed = closedBecause();
    if (closed !== undefined) throw unavailable(closed, 2);
    const traceparent = traceparentOf(req);
    const outcome = await publisher.publish(event, { traceparent });
    answer(res, outcome, traceparent);
  };
}

function answer(res: Response, outcome: PublishOutcome, traceparent: string): void {
  addToLine(res, { traceparent, outcome: outcome.status });
  if (outcome.status === 'unavailable') {
    addToLine(res, { reason: outcome.reason, detail: outcome.detail.slice(0, 300) });
    throw unavailable(reasons[outcome.reason], outcome.retryAfterS);
  }
  const { id, sequence, duplicate } = outcome;
  addToLine(res, { sequence, duplicate });
  res.status(200).json({ message: 'success', duplicate, id, sequence });
}

// In words for the sender: nothing about what stands behind us.
const reasons: Readonly<Record<Extract<PublishOutcome, { status: 'unavailable' }>['reason'], string>> = {
  'broker-down': 'The event cannot be stored now; send it again.',
  'no-answer': 'The event was not confirmed in time; send it again.',
  'stream-missing': 'The event cannot be stored now; send it again.',
  'stream-full': 'There is no room for the event now; send it again later.',
  'too-many': 'Too many events wait to be stored; send it again.',
  refused: 'The event cannot be stored now; send it again.',
};

function unavailable(detail: string, retryAfterS: number): Problem {
  return new Problem('broker-unavailable', detail, { headers: { 'retry-after': String(retryAfterS) } });
}

function eventOf(translation: Translation) {
  switch (translation.kind) {
    case 'event':
      return translation.event;
    case 'malformed':
      throw new Problem('malformed-request', translation.detail);
    case 'invalid': {
      const detail = translation.errors.map(({ field, message }) => `${field} ${message}`).join('; ');
      throw new Problem('invalid-event', detail, { errors: translation.errors });
    }
    default:
      return translation satisfies never;
  }
}

async function readBody(req: IncomingMessage): Promise<Uint8Array> {
  try {
    return await getRawBody(req, { limit: bodyBytesMax, length: req.headers['content-length'] ?? null });
  } catch (error) {
    const type = error instanceof Error && 'type' in error ? error.type : undefined;
    if (type === 'entity.too.large') {
      // The rest is thrown away as it comes, for as long as a request may take: who is cut off in the middle of
      // sending does not see the answer.
      req.resume();
      throw new Problem('body-too-large', `The body must have at most ${bodyBytesMax} bytes.`);
    }
    throw new Problem('malformed-request', 'The body ended before it was complete.');
  }
}

const traceparentPattern = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The sender's W3C trace context where it is well-formed, else a new one. */
function traceparentOf(req: IncomingMessage): string {
  const given = req.headers.traceparent;
  if (typeof given === 'string' && traceparentPattern.test(given)) return given;
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
}
