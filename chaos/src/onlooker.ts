import { setTimeout as sleep } from 'node:timers/promises';
import { type Document, type Long, MongoClient } from 'mongodb';
import { connect, headers, type JetStreamManager } from 'nats';
import { type DeadLetter, labelIn, type Poison, type RecordedTransaction } from './history.ts';
import { createPoison } from './poison.ts';
import type { Random } from './random.ts';

/** Looks at broker and database past the proxies, and lays hands on them. */
export interface Onlooker {
  poisons: readonly Poison[];
  /** Every transaction, as a majority holds it, a few at a time: who reads it never stands still for long. */
  readRecord(): AsyncIterable<RecordedTransaction>;
  readDeadLetters(): Promise<DeadLetter[]>;
  hasUniqueIndex(): Promise<boolean>;
  /** What is still in the work queues, in words; nothing when it is quiet. */
  readLeft(): Promise<string[]>;
  /** Until `endFailCommands`, which tells how many were failed. */
  failCommands(failure: Record<string, unknown>): Promise<void>;
  endFailCommands(): Promise<number>;
  /** Publishes one until the broker has it; returns its label. */
  publishPoison(random: Random): Promise<string>;
  versions(): Promise<{ natsServer: string; mongod: string }>;
  close(): Promise<void>;
}

const queues = [
  ['payment', 'payment-consumer'],
  ['payment-backlog', 'payment-backlog-consumer'],
] as const;
const deadLetters = 'payment-dead-letters';
/** Some 5 ms of decoding; all at once took up to two seconds. */
const readTogether = 200;

export async function createOnlooker(system: { natsUri: string; mongoUri: string }): Promise<Onlooker> {
  const nats = await connect({
    servers: system.natsUri.split(','),
    name: 'chaos',
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
  const mongo = await MongoClient.connect(system.mongoUri, {
    appName: 'chaos',
    readConcern: { level: 'majority' },
    serverSelectionTimeoutMS: 15_000,
  });
  const manager = await nats.jetstreamManager();
  const transactions = mongo.db().collection('transactions');
  const admin = mongo.db('admin');
  const poisons: Poison[] = [];

  return {
    poisons,
    readRecord: () => transactions.find({}, { batchSize: readTogether }).map(toTransaction),
    readDeadLetters: () => readDeadLetters(manager),
    hasUniqueIndex: async () => {
      const indexes = await transactions.indexes();
      return indexes.some(({ key, unique }) => unique === true && JSON.stringify(key) === '{"txId":1}');
    },
    readLeft: () => readLeft(manager),
    failCommands: async (data) => {
      await admin.command({ configureFailPoint: 'failCommand', mode: 'alwaysOn', data });
    },
    endFailCommands: async () => {
      const { count } = await admin.command({ configureFailPoint: 'failCommand', mode: 'off' });
      return Number(count ?? 0);
    },
    publishPoison: async (random) => {
      const { label, reason, subject, data, version } = createPoison(poisons.length + 1, random);
      const hdrs = headers();
      if (version !== undefined) hdrs.set('Paystream-Version', version);
      await untilDone(() => nats.jetstream().publish(subject, data, { msgID: label, headers: hdrs }));
      poisons.push({ label, reason });
      return label;
    },
    versions: async () => ({
      natsServer: nats.info?.version ?? 'unknown',
      mongod: String((await admin.command({ buildInfo: 1 })).version),
    }),
    close: async () => {
      await Promise.all([nats.close(), mongo.close()]);
    },
  };
}

/** The broker may be away at this moment; somebody who publishes by hand tries again too. */
async function untilDone(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (tries === 30) throw error;
      await sleep(500);
    }
  }
}

async function readLeft(manager: JetStreamManager): Promise<string[]> {
  const left: string[] = [];
  for (const [stream, consumer] of queues) {
    const { state } = await manager.streams.info(stream);
    if (state.messages > 0) left.push(`${state.messages} messages in ${stream}`);
    const { num_ack_pending } = await manager.consumers.info(stream, consumer);
    if (num_ack_pending > 0) left.push(`${num_ack_pending} of ${stream} handed out and not settled`);
  }
  return left;
}

async function readDeadLetters(manager: JetStreamManager): Promise<DeadLetter[]> {
  const { state } = await manager.streams.info(deadLetters);
  const letters: DeadLetter[] = [];
  for (let seq = state.first_seq; state.messages > 0 && seq <= state.last_seq; seq += 1) {
    const message = await manager.streams.getMessage(deadLetters, { seq });
    letters.push({
      label: labelIn(Buffer.from(message.data).toString('latin1')),
      reason: message.header.get('Paystream-Reason'),
      sequence: message.header.get('Paystream-Sequence'),
    });
  }
  return letters;
}

function toTransaction(document: Document): RecordedTransaction {
  const { txId, version, source, status, action, note, hasNew } = document;
  return {
    ...{ txId, version, source, status, action, note, hasNew },
    amount: toNumber(document.amount),
    captured: toNumber(document.amounts.captured),
    anomalies: document.anomalies.map(({ n, code }: Document) => ({ n, code })),
    actionHistory: document.actionHistory.map((entry: Document) => ({ n: entry.n, ...toFact(entry) })),
    conflicts: document.conflicts.map(toFact),
  };
}

function toFact(entry: Document) {
  const { eventId, action, note, source, sequence } = entry;
  return {
    ...{ eventId, action, note, source, sequence },
    amount: toNumber(entry.amount),
    at: entry.at.getTime(),
    storedAt: entry.storedAt.getTime(),
    receivedAt: entry.receivedAt.getTime(),
  };
}

/** The driver gives a 64-bit integer as a number where it fits, and as its own type else. */
const toNumber = (value: number | Long) => Number(value);
