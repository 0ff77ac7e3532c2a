import type { IncomingMessage } from 'node:http';
import type { Publisher } from '@paystream/nats';
import {
  type Answer,
  addToLine,
  askAgain,
  checkJsonType,
  Problem,
  problems,
  sendJson,
  sendText,
  traceparentOf,
} from '@paystream/runtime';
import type { Webhook } from './adapters/adapter.ts';
import type { Bodies } from './bodies.ts';
import type { IntakeObserver } from './metrics.ts';
import { type Published, publishAll } from './publish-all.ts';
import type { KeepRefused } from './refused-keeper.ts';
import { type Accepted, type Decision, inOneLine, type Source } from './source.ts';

export interface IntakeOptions {
  /** The sources as they are configured now, by name. */
  sources: () => ReadonlyMap<string, Source>;
  publisher: Publisher;
  /** Told of every decision; what it does with a refused webhook it does after the answer. */
  keepRefused: KeepRefused;
  bodies: Bodies;
  /** Why nothing can be taken now, or undefined. */
  closedBecause: () => string | undefined;
  observe: IntakeObserver;
}

/**
 * Takes one webhook: answers 200 only when the stream holds all that came of it. Whatever goes wrong is thrown as a
 * Problem, and then the sender has to send again or to mend what it sends.
 */
export function createIntake({
  sources,
  publisher,
  keepRefused,
  bodies,
  closedBecause,
  observe,
}: IntakeOptions) {
  return async (req: IncomingMessage, res: Answer, name: string): Promise<void> => {
    const source = sources().get(name);
    observe.begun();
    try {
      const { duplicate } = await take(req, res, source);
      observe.answered(source, duplicate ? 'duplicate' : 'stored');
    } catch (error) {
      observe.answered(source, error instanceof Problem ? error.code : 'internal-error');
      throw error;
    }
  };

  async function take(req: IncomingMessage, res: Answer, source: Source | undefined) {
    const receivedAt = new Date();
    if (source === undefined) throw new Problem('unknown-source', `No source of that name is configured.`);
    addToLine(res, { source: source.name });
    checkJsonType(req);

    const body = await bodies.read(req, res);
    try {
      return await takeBody(res, source, { headers: req.headers, body: body.bytes, receivedAt });
    } finally {
      body.done();
    }
  }

  async function takeBody(res: Answer, source: Source, webhook: Webhook) {
    const decision = source.decide(webhook);
    keepRefused({ source, webhook, decision });
    const accepted = acceptedOf(decision);
    addToLine(res, inLine(accepted));
    observe.verified(source, accepted.keyId);
    const closed = closedBecause();
    if (closed !== undefined) throw askAgain('broker-unavailable', closed);
    // What is verified and can be taken counts, and nothing else: nobody can use up the room of a source by sending in its
    // name, nor does the source itself while we are not there for it.
    const waitS = await source.admit?.();
    if (waitS !== undefined)
      throw askAgain(
        'too-many-requests',
        'The source sends more than its limit; send it again later.',
        waitS,
      );

    const trace = { traceparent: traceparentOf(res) };
    const published = await publishAll({ publisher, accepted, trace });
    addToLine(res, { outcome: published.status });
    const answered = answer(res, source, published);
    if (accepted.unmapped.length > 0) observe.unmapped(source);
    return answered;
  }
}

/** What the log tells of a webhook: of its words nothing but ids and actions. */
function inLine({ keyId, events, unmapped, webhook }: Accepted) {
  const [first] = events;
  const { txId, action, eventId } = first ?? {};
  const many = events.length > 1 ? { events: events.length } : {};
  const missed = unmapped.length > 0 ? { unmapped: unmapped.length } : {};
  return { key: keyId, txId, action, eventId, ...many, ...missed, webhookId: webhook?.id };
}

function answer(res: Answer, source: Source, published: Published): { duplicate: boolean } {
  if (published.status === 'unavailable') {
    addToLine(res, { reason: published.reason, detail: published.detail.slice(0, 300) });
    throw askAgain('broker-unavailable', reasons[published.reason], published.retryAfterS);
  }
  const { messages } = published;
  const [{ id, sequence }] = messages;
  const duplicate = messages.every((message) => message.duplicate);
  addToLine(res, { sequence, duplicate });
  if (source.answer === 'accepted') sendText(res, '[accepted]');
  else
    sendJson(res, {
      message: 'success',
      duplicate,
      id,
      sequence,
      ...(messages.length > 1 ? { messages } : {}),
    });
  return { duplicate };
}

// In words for the sender: nothing about what stands behind us.
const reasons: Readonly<Record<Extract<Published, { status: 'unavailable' }>['reason'], string>> = {
  'broker-down': 'The event cannot be stored now; send it again.',
  'no-answer': 'The event was not confirmed in time; send it again.',
  'stream-missing': 'The event cannot be stored now; send it again.',
  'stream-full': 'There is no room for the event now; send it again later.',
  'too-many': 'Too many events wait to be stored; send it again.',
  refused: 'The event cannot be stored now; send it again.',
};

function acceptedOf(decision: Decision): Accepted {
  switch (decision.kind) {
    case 'accepted':
      return decision;
    case 'refused':
      // Which of its parts would have been right is nobody's business.
      throw new Problem(decision.code, `${problems[decision.code].title}.`, {
        headers: { 'www-authenticate': 'Signature' },
      });
    case 'malformed':
      throw new Problem('malformed-request', decision.detail);
    case 'invalid':
      throw new Problem('invalid-event', inOneLine(decision.errors), { errors: decision.errors });
    default:
      return decision satisfies never;
  }
}
