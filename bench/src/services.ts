import { setTimeout as sleep } from 'node:timers/promises';
import { openSourcesFile, type Service } from '@paystream/local';
import { MongoClient } from 'mongodb';
import type { Rig } from './rig.ts';

const shared = { PROVISION: 'true', BROKER_SYNC: 'always' };

/** A payment-service as it is shipped, but that nothing is set aside: a pace is no speed. Its log is in a file. */
export function startPayments(rig: Rig, env: Record<string, string> = {}): Promise<Service> {
  return rig.start({
    name: 'payment-service',
    entry: 'payment-service/src/main.ts',
    env: { ...shared, MONGO_URI: rig.mongoUri, REPLAY_MODE: 'instant', ...env },
  });
}

/** A gateway as it is shipped. Its log is in a file. */
export function startGateway(rig: Rig, env: Record<string, string> = {}): Promise<Service> {
  return rig.start({
    name: 'gateway',
    entry: 'third-party-gateway/src/main.ts',
    env: { ...shared, SOURCES_FILE: openSourcesFile, ...env },
  });
}

/** Empties the queues and the collections. */
export async function clear({ nats, mongoUri }: Pick<Rig, 'nats' | 'mongoUri'>): Promise<void> {
  const manager = await nats.jetstreamManager();
  for (const stream of ['payment', 'payment-backlog']) await manager.streams.purge(stream);
  await withMongo(mongoUri, (mongo) => mongo.db().dropDatabase());
}

export async function withMongo<T>(uri: string, work: (mongo: MongoClient) => Promise<T>): Promise<T> {
  const mongo = await MongoClient.connect(uri);
  try {
    return await work(mongo);
  } finally {
    await mongo.close();
  }
}

const lookEveryMs = 50;

/** Resolves when nothing waits to be applied any more. */
export async function untilDrained({ nats }: Pick<Rig, 'nats'>, withinMs = 300_000): Promise<void> {
  const manager = await nats.jetstreamManager();
  const deadline = performance.now() + withinMs;
  while ((await manager.streams.info('payment')).state.messages > 0) {
    if (performance.now() > deadline) throw new Error(`the queue is not empty after ${withinMs / 1_000} s`);
    await sleep(lookEveryMs);
  }
}
