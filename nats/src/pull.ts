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
  /** Asks for nothing more, and has the broker forget the pull; what is already on its way still arrives. */
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
  /** Of all together: a message that is too much ends the pull, and is not handed out. */
  bytesMax: number;
  onMessage: (message: Msg) => void;
}

// How much later than agreed the broker may say that the pull is over, before it counts as lost.
const lateMs = 1_000;
const drainWithinMs = 1_000;
// As short as the broker lets it be: it is over as soon as it has been looked at.
const sweepForMs = 1;

/**
 * Not the client's `fetch`: that one unsubscribes when its own timer runs out, and what is on its way then is
 * handed out again only after the ack wait. Here the end is a round trip: every message sent before it arrives.
 */
export function openPull(options: PullOptions): Pull {
  const { connection, inboxPrefix, queue, batch, expiresMs, bytesMax, onMessage } = options;
  const inbox = createInbox(inboxPrefix);
  let arrived = 0;
  // What the broker has said of the end, and how many messages it had sent by then.
  let word: { end: PullEnd; sent: number } | undefined;
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
        if (end === undefined) return;
        word = { end, sent: batch - pendingIn(message, batch - arrived) };
      } else {
        onMessage(message);
        arrived += 1;
      }
      // With replicas the word of the end overtakes messages, which wait until all replicas know that they are handed out:
      // whoever left now would lose them for the ack wait.
      if (arrived === batch) close({ kind: 'over' }, drain);
      else if (word !== undefined && arrived >= word.sent) close(word.end, drain);
    },
  });
  const timer = setTimeout(
    () => close(word?.end ?? { kind: 'failed', detail: 'the broker did not answer a pull in time' }, drain),
    expiresMs + lateMs,
  );
  const next = `$JS.API.CONSUMER.MSG.NEXT.${queue.stream}.${queue.consumer}`;
  const request = { batch, expires: nanos(expiresMs), max_bytes: bytesMax };
  connection.publish(next, JSON.stringify(request), { reply: inbox });

  return {
    accepted: connection.flush().then(
      () => !isOver,
      () => false,
    ),
    ended,
    end: () =>
      close({ kind: 'over' }, async (subscription) => {
        await drain(subscription);
        await sweep(options);
      }),
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

/**
 * A pull that nobody listens to stands at the broker until it expires, and the next message that is given back meets it:
 * the broker finds nobody there and puts that message behind all others (nats-server issue 6114). Whatever stands
 * there is thrown away when a later pull is looked at, and its end says that it was. This one takes no message.
 */
async function sweep(options: PullOptions): Promise<void> {
  try {
    await openPull({ ...options, batch: 1, bytesMax: 1, expiresMs: sweepForMs }).ended;
  } catch {
    // The connection is closed, and with it every pull.
  }
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
    case 409:
      // The room for messages or for bytes is used up; every other 409 is a failure.
      if (usedUp.has(message.headers?.description.toLowerCase() ?? '')) return { kind: 'over' };
      return failure(code, message);
    case 503:
      return {
        kind: 'failed',
        detail: `stream ${stream} has no consumer ${consumer}; create it with: npm run provision`,
      };
    default:
      return failure(code, message);
  }
}

const usedUp: ReadonlySet<string> = new Set(['batch completed', 'message size exceeds maxbytes']);

/** How many of the messages asked for the broker had not sent when it said so; `otherwise` where it does not tell. */
function pendingIn({ headers }: Msg, otherwise: number): number {
  const told = headers?.get('Nats-Pending-Messages') ?? '';
  return /^\d{1,9}$/.test(told) ? Number(told) : otherwise;
}

function failure(code: number, { headers }: Msg): PullEnd {
  return { kind: 'failed', detail: `${code} ${headers?.description.toLowerCase()}` };
}
