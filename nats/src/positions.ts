import { describeError } from '@paystream/runtime';
import type { JetStreamManager, StoredMsg } from 'nats';
import { ask, orNothing } from './ask.ts';
import type { BrokerConnection } from './connection.ts';
import { type Headers, originOf } from './origin.ts';
import { workQueues } from './streams.ts';

export interface PaymentPosition {
  /** The place of the newest message that was ever stored. */
  lastSequence: number;
  /** How many wait or are in hand. */
  messages: number;
  /** When the oldest of them was stored. */
  oldestStoredAt: Date | undefined;
  /** Everything up to this place was handed out at least once. */
  deliveredThrough: number;
  /** When the broker looked, by the clock by which messages are stored. */
  askedAt: Date;
}

export interface BacklogPosition {
  /** How many still wait for their turn, or are in hand. */
  messages: number;
  /** When the first and the last of them came in to `payment`. */
  oldestStoredAt: Date | undefined;
  newestStoredAt: Date | undefined;
}

/** How far `payment` is filled and handed out. Rejects when the broker does not say. */
export async function readPaymentPosition(broker: BrokerConnection): Promise<PaymentPosition> {
  const { stream, consumer } = workQueues.payment;
  const [{ state, ts }, { delivered }] = await askAbout(broker, stream, (manager) =>
    Promise.all([manager.streams.info(stream), manager.consumers.info(stream, consumer)]),
  );
  return {
    lastSequence: state.last_seq,
    messages: state.messages,
    oldestStoredAt: state.messages === 0 ? undefined : new Date(state.first_ts),
    deliveredThrough: delivered.stream_seq,
    // Every server that we run on tells it; the client's types know older ones.
    askedAt: new Date(ts ?? Date.now()),
  };
}

/** How much is set aside, and from when. Rejects when the broker does not say. */
export async function readBacklog(broker: BrokerConnection): Promise<BacklogPosition> {
  const { stream, subjects } = workQueues.backlog;
  // By subject and not by the first and last sequence: those may have been applied meanwhile. In a variable, since
  // the client passes `next_by_subj` on and does not know it.
  const firstOne = { seq: 1, next_by_subj: subjects };
  const [{ state }, first, last] = await askAbout(broker, stream, (manager) =>
    Promise.all([
      manager.streams.info(stream),
      orNothing(manager.streams.getMessage(stream, firstOne)),
      orNothing(manager.streams.getMessage(stream, { last_by_subj: subjects })),
    ]),
  );
  return {
    messages: state.messages,
    oldestStoredAt: first && storedAtOf(first),
    newestStoredAt: last && storedAtOf(last),
  };
}

async function askAbout<T>(
  broker: BrokerConnection,
  stream: string,
  question: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  try {
    return await ask(broker, question);
  } catch (error) {
    throw new Error(`the broker does not say what is in ${stream}: ${describeError(error)}`, {
      cause: error,
    });
  }
}

/** When it came in, or for one that was published by hand, when it was stored here. */
function storedAtOf(message: StoredMsg): Date {
  let headers: Headers;
  try {
    headers = new Map(message.header ?? []);
  } catch {
    headers = new Map();
  }
  return originOf(message.subject, headers)?.storedAt ?? message.time;
}
