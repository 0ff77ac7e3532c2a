import { describeError } from '@paystream/runtime';
import { type JetStreamManager, NatsError, type StoredMsg } from 'nats';
import { type BrokerConnection, untilDown } from './connection.ts';
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

// Asked every second: an answer that takes longer than this is none.
const answerWithinMs = 2_000;

/** How far `payment` is filled and handed out. Rejects when the broker does not say. */
export async function readPaymentPosition(broker: BrokerConnection): Promise<PaymentPosition> {
  const { stream, consumer } = workQueues.payment;
  const [{ state, ts }, { delivered }] = await ask(broker, stream, (manager) =>
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
  const [{ state }, first, last] = await ask(broker, stream, (manager) =>
    Promise.all([
      manager.streams.info(stream),
      found(manager.streams.getMessage(stream, firstOne)),
      found(manager.streams.getMessage(stream, { last_by_subj: subjects })),
    ]),
  );
  return {
    messages: state.messages,
    oldestStoredAt: first && storedAtOf(first),
    newestStoredAt: last && storedAtOf(last),
  };
}

async function ask<T>(
  broker: BrokerConnection,
  stream: string,
  question: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  try {
    const connection = broker.current();
    if (connection === undefined) throw new Error(broker.state().detail);
    const manager = await connection.jetstreamManager({ checkAPI: false, timeout: answerWithinMs });
    return await untilDown(broker, question(manager));
  } catch (error) {
    throw new Error(`the broker does not say what is in ${stream}: ${describeError(error)}`, {
      cause: error,
    });
  }
}

async function found(message: Promise<StoredMsg>): Promise<StoredMsg | undefined> {
  try {
    return await message;
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.code === 404) return undefined;
    throw error;
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
