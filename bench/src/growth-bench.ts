import { randomUUID } from 'node:crypto';
import { quantile, type Service } from '@paystream/local';
import type { MongoClient } from 'mongodb';
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
  /** Of the lengths of a history. */
  historyRounds: number;
  reads: number;
  /** How long histories are, each in its own run. */
  histories: number[];
  /** So many transactions get four more events each. */
  longTransactions: number;
}

export function growthSettings(size: Size): GrowthSettings {
  // Fewer events are gone between two looks at the queue.
  if (size === 'small')
    return {
      stored: [100, 200],
      events: 2_000,
      rounds: 1,
      historyRounds: 1,
      reads: 5,
      histories: [10],
      longTransactions: 500,
    };
  const most = size === 'full' ? 1_000_000 : size;
  return {
    stored: [most / 100, most / 10, most].map(Math.round),
    events: 20_000,
    // What a million changes is less than what a machine's speed changes from one minute to the next.
    rounds: 9,
    historyRounds: 3,
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
    /** After each round: how long the database took to write to its files what the journal had already. */
    checkpointMs: number[];
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
  const sizes = await measureSizes(rig, settings, say);
  const histories: GrowthResult['histories'] = [];
  for (const events of settings.histories) {
    await clear(rig);
    await (await readyPayments(rig)).stop();
    const perSecond = await lengthen(rig, events, settings);
    histories.push({ events, perSecond });
    say(`histories of ${events}: ${perSecond.map(Math.round).join(', ')}/s`);
  }
  await clear(rig);
  return { sizes, histories };
}

/** Each size in a database of its own, so that their rounds can take turns: the speed of a machine changes within minutes. */
async function measureSizes(
  rig: Rig,
  settings: GrowthSettings,
  say: (line: string) => void,
): Promise<GrowthResult['sizes']> {
  const measured = settings.stored.map((stored) => ({
    rig: { ...rig, mongoUri: databaseBeside(rig.mongoUri, `-of-${stored}`) },
    result: { stored, perSecond: [] as number[], checkpointMs: [] as number[], read: none, list: none },
  }));
  for (let round = 0; round < settings.rounds; round += 1) {
    for (const { rig, result } of measured) {
      const { stored } = result;
      // What a round changes is a hundredth of the largest, and more than all of the smallest.
      if (round === 0 || settings.events > stored / 10) await storeAnew(rig, stored, say);
      const { perSecond, checkpointMs } = await applySome(rig, { stored, events: settings.events });
      result.perSecond.push(perSecond);
      result.checkpointMs.push(checkpointMs);
      say(`${stored} stored: ${Math.round(perSecond)}/s, then ${Math.round(checkpointMs)} ms to the files`);
    }
  }
  for (const { rig, result } of measured) {
    const service = await readyPayments(rig);
    const { url } = service;
    const anyOne = () => `${url}/transactions/${txIdOf(anyBelow(result.stored))}`;
    result.read = await readLatency(settings.reads, anyOne);
    result.list = await readLatency(settings.reads, () => `${url}/transactions?status=new&limit=50`);
    await service.stop();
    await clear(rig);
    say(`${result.stored} stored: read p99 ${result.read.p99} ms, list p99 ${result.list.p99} ms`);
  }
  return measured.map(({ result }) => result);
}

/** An empty database gets so many transactions, in its files and in its memory, as has one that runs for longer than a bench. */
async function storeAnew(rig: Rig, stored: number, say: (line: string) => void): Promise<void> {
  say(`storing ${stored}`);
  await clear(rig);
  // Makes the indexes, so that what is stored meets them.
  await (await readyPayments(rig)).stop();
  await withMongo(rig.mongoUri, async (mongo) => {
    await storeTransactions(mongo, { numbers: numbers(0, stored), eventsEach: 1 });
    await checkpoint(mongo);
    // Reads each page of the collection and its indexes.
    await mongo.db().command({ validate: 'transactions' });
  });
}

const none: Latency = { p50: 0, p99: 0 };

function databaseBeside(uri: string, suffix: string): string {
  const url = new URL(uri);
  url.pathname += suffix;
  return url.toString();
}

/** What was written is in the files of the database, and not only in its journal; resolves with the time it took, in ms. */
async function checkpoint(mongo: MongoClient): Promise<number> {
  const startedAt = performance.now();
  await mongo.db('admin').command({ fsync: 1 });
  return performance.now() - startedAt;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
const anyBelow = (count: number) => Math.floor(Math.random() * count);

/** So many, or all there are; none of them twice: else a small collection would have fewer to write. */
function differentBelow(below: number, count: number): number[] {
  const drawn = new Set<number>();
  while (drawn.size < Math.min(below, count)) drawn.add(anyBelow(below));
  return [...drawn];
}

async function readyPayments(rig: Rig): Promise<Service> {
  const service = await startPayments(rig);
  await service.ready();
  return service;
}

/** One round; half of its transactions are stored already. */
async function applySome(
  rig: Rig,
  { stored, events }: { stored: number; events: number },
): Promise<{ perSecond: number; checkpointMs: number }> {
  // Two events each: a second NEW is as much work as any other event.
  const transactions = events / 2;
  const drawn = differentBelow(stored, transactions / 2);
  await fillQueue(rig.nats, {
    transactions,
    eventsEach: 2,
    txIdOf: (index) => {
      const number = index % 2 === 0 ? drawn[index / 2] : undefined;
      return number === undefined ? randomUUID() : txIdOf(number);
    },
  });
  const perSecond = await drain(rig);
  return { perSecond, checkpointMs: await withMongo(rig.mongoUri, checkpoint) };
}

async function lengthen(rig: Rig, events: number, settings: GrowthSettings): Promise<number[]> {
  const perSecond: number[] = [];
  const count = settings.longTransactions;
  for (let round = 0; round < settings.historyRounds; round += 1) {
    const from = round * count;
    await withMongo(rig.mongoUri, (mongo) =>
      storeTransactions(mongo, { numbers: numbers(from, from + count), eventsEach: events }),
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
