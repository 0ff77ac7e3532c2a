import { type JetStreamManager, NatsError } from 'nats';
import { type BrokerConnection, untilDown } from './connection.ts';

// A reader waits for it, or the next look comes: an answer that takes longer than this is none.
const answerWithinMs = 2_000;

/** Asks the broker about a stream. Rejects at once when it is away or goes away, and when it says nothing in 2 s. */
export async function ask<T>(
  broker: BrokerConnection,
  question: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  const connection = broker.current();
  if (connection === undefined) throw new Error(broker.state().detail);
  const manager = await connection.jetstreamManager({ checkAPI: false, timeout: answerWithinMs });
  return untilDown(broker, question(manager));
}

/** What the broker has found, or undefined where it says that there is nothing. */
export async function orNothing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.code === 404) return undefined;
    throw error;
  }
}
