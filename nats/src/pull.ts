import { createInbox, type Msg, type NatsConnection, nanos, type Subscription } from 'nats';
import type { WorkQueue } from './streams.ts';
import { atMost } from './waiting.ts';

export type PullEnd = { kind: 'over' } | { kind: 'failed'; detail: string };

/** One open request for messages. */
export interface Pull {
  /** True when the broker has taken the request, false when it was over before. */
  accepted: Promise<boolean>;
  /** Resolves when no message of this pull can arrive any more. */
  ended: Promise<PullEnd>;
  /** Asks for nothing more; what is already on its way still arrives. */
  end(): void;
  /** The connection is lost, and with it whatever was on its way. */
  abandon(): void;
}

export interface PullOptions {
  connection: NatsConnection;
  inboxPrefix: string;
  queue: WorkQueue;
  batch: number;
  /** The broker ends the pull after this. */
  expiresMs: number;
  onMessage: (message: Msg) => void;
}

// How much later than agreed the broker may say that the pull is over, before it counts as lost.
const lateMs = 1_000;
const drainWithinMs = 1_000;

/**
 * Not the client's `fetch`: that one unsubscribes when its own timer runs out, and what is on its way then is
 * handed out again only after the ack wait. Here the end is a round trip: every message sent before it arrives.
 */
export function openPull({ connection, inboxPrefix, queue, batch, expiresMs, onMessage }: PullOptions): Pull {
  const inbox = createInbox(inboxPrefix);
  let missing = batch;
  let isOver = false;
  let resolveEnded: (end: PullEnd | Promise<PullEnd>) => void = () => undefined;
  const ended = new Promise<PullEnd>((resolve) => {
    resolveEnded = resolve;
  });

  const close = (end: PullEnd, release: (subscription: Subscription) => Promise<void>) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    resolveEnded(release(subscription).then(() => end));
  };
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => {
      if (error !== null) return close({ kind: 'failed', detail: error.message }, drain);
      // The broker's own words come to the inbox, messages come with the subject on which they were published.
      if (message.subject === inbox) {
        const end = endFrom(message, queue);
        if (end !== undefined) close(end, drain);
        return;
      }
      onMessage(message);
      missing -= 1;
      if (missing === 0) close({ kind: 'over' }, drain);
    },
  });
  const timer = setTimeout(
    () => close({ kind: 'failed', detail: 'the broker did not answer a pull in time' }, drain),
    expiresMs + lateMs,
  );
  const next = `$JS.API.CONSUMER.MSG.NEXT.${queue.stream}.${queue.consumer}`;
  connection.publish(next, JSON.stringify({ batch, expires: nanos(expiresMs) }), { reply: inbox });

  return {
    accepted: connection.flush().then(
      () => !isOver,
      () => false,
    ),
    ended,
    end: () => close({ kind: 'over' }, drain),
    abandon: () => close({ kind: 'over' }, leave),
  };
}

async function drain(subscription: Subscription): Promise<void> {
  await atMost(
    drainWithinMs,
    subscription.drain().catch(() => undefined),
  );
  if (!subscription.isClosed()) await leave(subscription);
}

/** Not drained: a drain would wait for the broker to come back, and the client would subscribe again meanwhile. */
async function leave(subscription: Subscription): Promise<void> {
  subscription.unsubscribe();
}

/** What a status of the broker means for the pull; undefined when it goes on. */
function endFrom(message: Msg, { stream, consumer }: WorkQueue): PullEnd | undefined {
  const code = message.headers?.code ?? 0;
  switch (code) {
    case 0:
    case 100:
      return undefined;
    case 404:
    case 408:
      return { kind: 'over' };
    case 503:
      return {
        kind: 'failed',
        detail: `stream ${stream} has no consumer ${consumer}; create it with: npm run provision`,
      };
    default:
      return { kind: 'failed', detail: `${code} ${message.headers?.description.toLowerCase()}` };
  }
}
