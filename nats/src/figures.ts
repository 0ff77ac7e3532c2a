import type { JetStreamManager } from 'nats';
import { ask } from './ask.ts';
import type { BrokerConnection } from './connection.ts';
import { readBacklog } from './positions.ts';
import { deadLetterStreamName, type WorkQueueName, workQueues } from './streams.ts';

/** What a stream holds. */
export interface StreamFigures {
  messages: number;
  bytes: number;
  /** Undefined: it has no limit. */
  bytesMax: number | undefined;
  /** How long ago the oldest message came in, by the broker's clock; 0: there is none. */
  oldestAgeMs: number;
}

export type BrokerFigures = Record<WorkQueueName | 'deadLetters', StreamFigures>;

/** What all three streams hold now. Rejects when the broker does not say. */
export async function readFigures(broker: BrokerConnection): Promise<BrokerFigures> {
  const read = (stream: string) => ask(broker, (manager) => readStream(manager, stream));
  const [payment, backlog, deadLetters, { oldestStoredAt }] = await Promise.all([
    read(workQueues.payment.stream),
    read(workQueues.backlog.stream),
    read(deadLetterStreamName),
    readBacklog(broker),
  ]);
  // It came in before it was set aside.
  const oldestAgeMs = oldestStoredAt === undefined ? 0 : backlog.age(oldestStoredAt);
  return {
    payment: payment.figures,
    backlog: { ...backlog.figures, oldestAgeMs },
    deadLetters: deadLetters.figures,
  };
}

async function readStream(manager: JetStreamManager, stream: string) {
  const { state, config, ts } = await manager.streams.info(stream);
  // Every server that we run on tells its time; the client's types know older ones.
  const askedAt = new Date(ts ?? Date.now());
  const age = (since: Date) => Math.max(0, askedAt.getTime() - since.getTime());
  const figures: StreamFigures = {
    messages: state.messages,
    bytes: state.bytes,
    bytesMax: config.max_bytes > 0 ? config.max_bytes : undefined,
    oldestAgeMs: state.messages === 0 ? 0 : age(new Date(state.first_ts)),
  };
  return { figures, age };
}
