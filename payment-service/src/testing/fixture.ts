import { randomUUID } from 'node:crypto';
import { type Mongod, resolveServers, startMongod } from '@paystream/local';
import { identify } from '@paystream/nats';
import type { Log } from '@paystream/runtime';
import { pino } from 'pino';
import { throwAwayFolder } from '../../../test/harness.ts';
import {
  decideRecord,
  type IncomingEvent,
  type RecordChange,
  type TransactionRecord,
} from '../domain/record.ts';
import type { TransactionStore } from '../store.ts';
import { createMongoStore } from '../store-mongo.ts';
import type { MongoLink } from '../store-mongo-connection.ts';

export const storedAt = new Date('2026-01-02T03:04:05.678Z');
let lastSequence = 0;

/** An event as the consumer makes it; another transaction each time unless told otherwise. */
export function eventOf(said: Partial<IncomingEvent> = {}): IncomingEvent {
  const { occurredAt, eventId, ...rest } = said;
  const bare = {
    txId: randomUUID(),
    action: 'NEW' as const,
    amount: 100,
    note: 'a test',
    source: 'x-payment',
    ...rest,
  };
  const { event, fingerprint } = identify({
    ...bare,
    eventId,
    occurredAt: occurredAt?.toISOString(),
    receivedAt: storedAt.toISOString(),
  });
  lastSequence += 1;
  return {
    ...bare,
    eventId: event.eventId,
    fingerprint,
    occurredAt,
    receivedAt: storedAt,
    storedAt,
    sequence: lastSequence,
    deliveries: 1,
    ...said,
  };
}

/** The change that these events make to a transaction as it was read. */
export function changeOf(record: TransactionRecord | undefined, ...events: IncomingEvent[]): RecordChange {
  const { change } = decideRecord(record, events);
  if (change === undefined) throw new Error('these events change nothing');
  return change;
}

/** A log that a test can read. */
export function collectLog(): {
  log: Log;
  lines: Record<string, unknown>[];
  said: (message: string) => number;
} {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { log, lines, said: (message) => lines.filter((line) => line.msg === message).length };
}

/** A store that is prepared, on the given database. */
export async function openStore(
  uri: string,
  { log = collectLog().log, ...more }: { log?: Log; link?: MongoLink; entriesMax?: number } = {},
): Promise<TransactionStore> {
  const store = createMongoStore({ uri, log, ...more });
  await store.prepare(AbortSignal.timeout(20_000));
  return store;
}

/** A mongod of the test's own, to be killed and paused. */
export interface OwnMongod {
  uri: string;
  pause(): void;
  resume(): void;
  kill(): Promise<void>;
  /** The same port and data again. */
  startAgain(): Promise<void>;
  close(): Promise<void>;
}

export async function startOwnMongod({
  port,
  args = [],
}: {
  port?: number;
  args?: readonly string[];
} = {}): Promise<OwnMongod> {
  const folder = throwAwayFolder('mongod');
  const binary = resolveServers().mongod;
  const start = (onPort?: number) =>
    startMongod({ binary, dataDir: folder.path, args, ...(onPort === undefined ? {} : { port: onPort }) });
  let mongod: Mongod = await start(port);
  return {
    uri: mongod.uriOf(`test-${randomUUID()}`),
    pause: () => mongod.pause(),
    resume: () => mongod.resume(),
    kill: async () => void (await mongod.kill()),
    startAgain: async () => {
      mongod = await start(mongod.port);
    },
    close: async () => {
      mongod.resume();
      await mongod.kill();
      folder.remove();
    },
  };
}

/** The value, or the error, and how long it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ outcome: T | unknown; ms: number }> {
  const startedAt = performance.now();
  const outcome = await work().catch((error: unknown) => error);
  return { outcome, ms: performance.now() - startedAt };
}
