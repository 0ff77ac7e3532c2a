import { randomUUID } from 'node:crypto';
import { quantile, type Service } from '@paystream/local';
import type { Size } from './arguments.ts';
import { watchDrain } from './drain.ts';
import { fillQueue } from './fill.ts';
import type { Rig } from './rig.ts';
import { clear, startPayments, withMongo } from './services.ts';
import { storeTransactions, txIdOf } from './stored.ts';

export interface GrowthSettings {
  /** How many transactions are stored, growing. */
  stored: number[];
  /** Applied at each size: half of them to stored transactions, half to new ones. */
  events: number;
  rounds: number;
  reads: number;
  /** How long histories are, each in its own run. */
  histories: number[];
  /** So many transactions get four more events each. */
  longTransactions: number;
}

export function growthSettings(size: Size): GrowthSettings {
  // Fewer events are gone between two looks at the queue.
  if (size === 'small')
    return { stored: [100, 200], events: 2_000, rounds: 1, reads: 5, histories: [10], longTransactions: 500 };
  const most = size === 'full' ? 1_000_000 : size;
  return {
    stored: [most / 100, most / 10, most].map(Math.round),
    events: 20_000,
    rounds: 3,
    reads: 1_000,
    histories: [10, 100, 1_000],
    longTransactions: 500,
  };
}

export interface GrowthResult {
  sizes: {
    stored: number;
    /** Events applied a second, of each round. */
    perSecond: number[];
    read: Latency;
    list: Latency;
  }[];
  histories: { events: number; perSecond: number[] }[];
}

export interface Latency {
  p50: number;
  p99: number;
}

const drainWithinMs = 300_000;

export async function runGrowth(
  rig: Rig,
  settings: GrowthSettings,
  say: (line: string) => void,
): Promise<GrowthResult> {
  const result: GrowthResult = { sizes: [], histories: [] };
  await clear(rig);
  // Makes the indexes, so that what is stored meets them.
  await (await readyPayments(rig)).stop();
  let stored = 0;
  for (const size of settings.stored) {
    await withMongo(rig.mongoUri, async (mongo) => {
      await storeTransactions(mongo, { from: stored, to: size, eventsEach: 1 });
      // Else mongod writes for a minute what it was just given, and that is what would be measured.
      await mongo.db('admin').command({ fsync: 1 });
    });
    stored = size;
    const perSecond: number[] = [];
    for (let round = 0; round < settings.rounds; round += 1) {
      perSecond.push(await applySome(rig, { stored, events: settings.events }));
    }
    const service = await readyPayments(rig);
    const read = await readLatency(
      settings.reads,
      () => `${service.url}/transactions/${txIdOf(anyBelow(stored))}`,
    );
    const list = await readLatency(settings.reads, () => `${service.url}/transactions?status=new&limit=50`);
    await service.stop();
    result.sizes.push({ stored, perSecond, read, list });
    say(
      `${stored} stored: ${perSecond.map(Math.round).join(', ')}/s; read p99 ${read.p99} ms, list p99 ${list.p99} ms`,
    );
  }
  for (const events of settings.histories) {
    await clear(rig);
    await (await readyPayments(rig)).stop();
    const perSecond = await lengthen(rig, events, settings);
    result.histories.push({ events, perSecond });
    say(`histories of ${events}: ${perSecond.map(Math.round).join(', ')}/s`);
  }
  await clear(rig);
  return result;
}

const anyBelow = (count: number) => Math.floor(Math.random() * count);

async function readyPayments(rig: Rig): Promise<Service> {
  const service = await startPayments(rig);
  await service.ready();
  return service;
}

async function applySome(rig: Rig, { stored, events }: { stored: number; events: number }): Promise<number> {
  // Two events each: a second NEW is as much work as any other event.
  const transactions = events / 2;
  await fillQueue(rig.nats, {
    transactions,
    eventsEach: 2,
    txIdOf: (index) => (index % 2 === 0 ? txIdOf(anyBelow(stored)) : randomUUID()),
  });
  return drain(rig);
}

async function lengthen(rig: Rig, events: number, settings: GrowthSettings): Promise<number[]> {
  const perSecond: number[] = [];
  const count = settings.longTransactions;
  for (let round = 0; round < settings.rounds; round += 1) {
    const from = round * count;
    await withMongo(rig.mongoUri, (mongo) =>
      storeTransactions(mongo, { from, to: from + count, eventsEach: events }),
    );
    await fillQueue(rig.nats, {
      transactions: count,
      eventsEach: 4,
      txIdOf: (index) => txIdOf(from + index),
    });
    perSecond.push(await drain(rig));
  }
  return perSecond;
}

async function drain(rig: Rig): Promise<number> {
  const service = await startPayments(rig);
  try {
    const { count, perSecond } = await watchDrain(rig.nats, { withinMs: drainWithinMs });
    if (count === 0)
      throw new Error('the queue was empty at the first look: too few events to tell how fast');
    return perSecond;
  } finally {
    await service.stop();
  }
}

/** One request after the other. */
async function readLatency(count: number, urlOf: () => string): Promise<Latency> {
  const tookMs: number[] = [];
  for (let nth = 0; nth < count; nth += 1) {
    const startedAt = performance.now();
    const answer = await fetch(urlOf());
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error(`a read was answered ${answer.status}`);
    tookMs.push(performance.now() - startedAt);
  }
  const rounded = (share: number) => Math.round(quantile(tookMs, share) * 10) / 10;
  return { p50: rounded(0.5), p99: rounded(0.99) };
}
