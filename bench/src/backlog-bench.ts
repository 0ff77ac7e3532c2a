import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { atOffsets, quantile, readSettled, type Service } from '@paystream/local';
import { encodeEvent, identify, publishBatch, toOutgoing } from '@paystream/nats';
import type { NatsConnection } from 'nats';
import type { Size } from './arguments.ts';
import { startLiveLoad } from './load.ts';
import type { Rig } from './rig.ts';
import { until } from './until.ts';
import { residentMiB } from './usage.ts';

export interface BacklogSettings {
  /** One run for each. */
  sizes: number[];
  /** At which the backlog is written, in batches: 1,000 a second is a busy day. */
  batch: number;
  batchEveryMs: number;
  liveEveryMs: number;
  /** After the first live event has passed. */
  watchForMs: number;
  liveWithin: '2s' | '200ms';
  restMs: number;
}

export interface BacklogResult {
  events: number;
  /** From the start of the process until it is ready. */
  startMs: number;
  /** From ready until the first live event was applied. */
  untilLiveMs: number;
  /** Of the live events from then on, 200 to applied. */
  live: { count: number; p50: number; p99: number; worst: number };
  memory: Sample[];
  memoryMiB: { atStart: number; max: number; atEnd: number };
  replayed: number;
}

interface Sample {
  /** Since the process was ready. */
  ms: number;
  rssMiB: number;
}

const full = {
  batch: 50,
  batchEveryMs: 50,
  liveEveryMs: 50,
  watchForMs: 20_000,
  liveWithin: '2s',
  restMs: 2_500,
} as const;
const sampleEveryMs = 250;
const untilLiveMaxMs = 120_000;

export function backlogSettings(size: Size): BacklogSettings {
  if (size === 'small') return { ...full, sizes: [200], watchForMs: 500, liveWithin: '200ms', restMs: 300 };
  const events = size === 'full' ? 50_000 : size;
  return { ...full, sizes: [Math.ceil(events / 10), events] };
}

/** One run for each size, the small one first. Whatever is left of a backlog is thrown away after its run. */
export async function runBacklog(
  rig: Rig,
  settings: BacklogSettings,
  say: (line: string) => void,
): Promise<BacklogResult[]> {
  const results: BacklogResult[] = [];
  for (const events of settings.sizes) {
    say(`a backlog of ${events} ...`);
    await fill(rig.nats, events, settings);
    await sleep(settings.restMs);
    results.push(await runOne(rig, events, settings));
    await empty(rig.nats);
  }
  return results;
}

async function runOne(rig: Rig, events: number, settings: BacklogSettings): Promise<BacklogResult> {
  const appliedAt = new Map<string, number>();
  const startedAt = Date.now();
  const service = await rig.start({
    name: 'payment-service',
    entry: 'payment-service/src/main.ts',
    env: {
      MONGO_URI: rig.mongoUri,
      PROVISION: 'true',
      BROKER_SYNC: 'always',
      REPLAY_LIVE_WITHIN: settings.liveWithin,
    },
    onLine: (line) => {
      const settled = readSettled(line);
      if (settled !== undefined) appliedAt.set(settled.txId, settled.appliedAt);
    },
  });
  await service.ready();
  const readyAt = Date.now();
  const memory = watchMemory(service, readyAt);
  const countMax = Math.ceil((untilLiveMaxMs + settings.watchForMs) / settings.liveEveryMs);
  const live = startLiveLoad(rig.gatewayUrl, { everyMs: settings.liveEveryMs, countMax });
  try {
    const isPassing = () => live.sent.some(({ txId }) => appliedAt.has(txId));
    await until(isPassing, untilLiveMaxMs, 'the first live event');
    await sleep(settings.watchForMs);
    await live.stop();
    await until(() => live.sent.every(({ txId }) => appliedAt.has(txId)), 30_000, 'the last live events');
  } finally {
    await live.stop().catch(() => undefined);
    memory.stop();
    await service.stop();
  }
  const done = live.sent.map(({ txId, answeredAt }) => ({ answeredAt, at: appliedAt.get(txId) ?? 0 }));
  const firstAt = Math.min(...done.map(({ at }) => at));
  const latencies = done
    .filter(({ answeredAt }) => answeredAt >= firstAt)
    .map(({ answeredAt, at }) => Math.max(0, at - answeredAt));
  const rss = memory.samples.map(({ rssMiB }) => rssMiB);
  return {
    events,
    startMs: readyAt - startedAt,
    untilLiveMs: Math.max(0, firstAt - readyAt),
    live: {
      count: latencies.length,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99),
      worst: Math.max(0, ...latencies),
    },
    memory: memory.samples,
    memoryMiB: { atStart: rss[0] ?? 0, max: Math.max(...rss), atEnd: rss.at(-1) ?? 0 },
    replayed: appliedAt.size - done.length,
  };
}

/** Writes the events as a gateway would, only faster: not over HTTP, and many in one batch. */
async function fill(nats: NatsConnection, events: number, settings: BacklogSettings): Promise<void> {
  const { batch, batchEveryMs } = settings;
  const offsetsMs = Array.from({ length: Math.ceil(events / batch) }, (_, index) => index * batchEveryMs);
  await atOffsets(offsetsMs, async (index) => {
    const messages = Array.from({ length: Math.min(batch, events - index * batch) }, newMessage);
    const outcome = await publishBatch(nats, messages, { timeoutMs: 20_000, stream: 'payment' });
    if (outcome.kind !== 'stored') throw new Error(`a batch was not stored: ${outcome.detail}`);
  });
}

function newMessage() {
  const { event } = identify({
    txId: randomUUID(),
    action: 'NEW',
    amount: 1_250,
    note: 'bench',
    source: 'x-payment',
    receivedAt: new Date().toISOString(),
  });
  return toOutgoing(encodeEvent(event));
}

async function empty(nats: NatsConnection): Promise<void> {
  const manager = await nats.jetstreamManager();
  for (const stream of ['payment', 'payment-backlog']) await manager.streams.purge(stream);
}

function watchMemory({ pid }: Service, readyAt: number): { samples: Sample[]; stop: () => void } {
  const samples: Sample[] = [];
  const look = () => samples.push({ ms: Date.now() - readyAt, rssMiB: residentMiB(pid) });
  look();
  const timer = setInterval(look, sampleEveryMs);
  return { samples, stop: () => clearInterval(timer) };
}
