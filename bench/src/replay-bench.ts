import { setTimeout as sleep } from 'node:timers/promises';
import { readSettled, type Service, type Settled } from '@paystream/local';
import type { Size } from './arguments.ts';
import { renewConsumer, useConsumer, waiting } from './consumer-policy.ts';
import { sendAtOffsets, startLiveLoad } from './load.ts';
import { measureReplay, type ReplayNumbers, type ReplayRun } from './replay-numbers.ts';
import type { Rig } from './rig.ts';
import { until } from './until.ts';
import type { Variant } from './variants.ts';

export interface ReplaySettings {
  events: number;
  gapMs: number;
  /** Once, in the middle: a quiet time, which ours shortens to REPLAY_MAX_GAP. */
  holeMs: number;
  liveEveryMs: number;
  /** Live events go on for this long at least, and until the backlog is applied. */
  liveForMs: number;
  /** What is older than this when the service looks is a backlog. */
  liveWithin: '2s' | '200ms';
  /** Between the last event of the backlog and the start of the service. */
  restMs: number;
}

const full: ReplaySettings = {
  events: 1_000,
  gapMs: 20,
  holeMs: 5_000,
  liveEveryMs: 50,
  liveForMs: 10_000,
  liveWithin: '2s',
  restMs: 2_500,
};

export function replaySettings(size: Size): ReplaySettings {
  if (size === 'full') return full;
  if (size === 'small')
    return { ...full, events: 40, holeMs: 1_200, liveForMs: 1_000, liveWithin: '200ms', restMs: 300 };
  return { ...full, events: size };
}

export interface VariantResult {
  variant: Variant;
  numbers: ReplayNumbers;
  run: ReplayRun;
}

/** Sends the backlog while nobody reads, starts the reader, and lets live events come meanwhile. */
export async function runVariant(
  rig: Rig,
  variant: Variant,
  settings: ReplaySettings,
): Promise<VariantResult> {
  await renewConsumer(rig.nats, variant.replayPolicy);
  await useConsumer(rig.nats, rig.gatewayUrl);
  const sent = await sendAtOffsets(rig.gatewayUrl, offsetsOf(settings));
  await sleep(settings.restMs);
  if (variant.consumer === 'made-over-backlog') await renewConsumer(rig.nats, variant.replayPolicy);

  const settled = new Map<string, Settled>();
  let repeats = 0;
  const reader = await startReader(rig, variant, settings, (line) => {
    if (settled.has(line.txId)) repeats += 1;
    else settled.set(line.txId, line);
  });
  const readyAt = Date.now();
  const live = startLiveLoad(rig.gatewayUrl, {
    everyMs: settings.liveEveryMs,
    countMax: Math.ceil(drainWithinMs(settings) / settings.liveEveryMs),
  });
  try {
    await sleep(settings.liveForMs);
    await until(() => sent.every(({ txId }) => settled.has(txId)), drainWithinMs(settings), 'the backlog');
    await live.stop();
    await until(
      () => live.sent.every(({ txId }) => settled.has(txId)),
      drainWithinMs(settings),
      'the live events',
    );
  } finally {
    // Its failure has been told, or another one has.
    await live.stop().catch(() => undefined);
    await reader.stop();
  }
  if ((await waiting(rig.nats)) > 0) throw new Error('messages are left after all were applied');
  const find = (txId: string) => settled.get(txId) ?? raise(`${txId} was not applied`);
  const run: ReplayRun = {
    readyAt,
    backlog: sent.map(({ txId }) => find(txId)).map(({ storedAt, appliedAt }) => ({ storedAt, appliedAt })),
    live: live.sent.map(({ txId, answeredAt }) => ({ answeredAt, appliedAt: find(txId).appliedAt })),
    repeats,
  };
  return { variant, run, numbers: measureReplay(run, variant.speed ?? 1) };
}

/** One quiet time in the middle of an even rate. */
function offsetsOf({ events, gapMs, holeMs }: ReplaySettings): number[] {
  const behindHole = Math.ceil(events / 2);
  return Array.from(
    { length: events },
    (_, index) => index * gapMs + (index >= behindHole ? holeMs - gapMs : 0),
  );
}

/** The slowest way takes the original time once more, and what is live meanwhile takes as long again. */
const drainWithinMs = ({ events, gapMs, holeMs }: ReplaySettings) => 2 * (events * gapMs + holeMs) + 20_000;

async function startReader(
  rig: Rig,
  { reader, env }: Variant,
  { liveWithin }: ReplaySettings,
  onSettled: (settled: Settled) => void,
): Promise<Service> {
  let isReady = false;
  const onLine = (line: string) => {
    if (line.includes('"msg":"ready"')) isReady = true;
    const settled = readSettled(line);
    if (settled !== undefined) onSettled(settled);
    else if (!line.startsWith('{')) console.error(`${reader} | ${line}`);
  };
  const shared = { MONGO_URI: rig.mongoUri };
  if (reader === 'plain') {
    const service = await rig.start({
      name: 'plain',
      entry: 'bench/src/plain-replay.ts',
      env: shared,
      onLine,
    });
    await until(() => isReady, 20_000, 'the plain reader');
    return service;
  }
  const service = await rig.start({
    name: 'payment-service',
    entry: 'payment-service/src/main.ts',
    env: { ...shared, ...env, PROVISION: 'true', BROKER_SYNC: 'always', REPLAY_LIVE_WITHIN: liveWithin },
    onLine,
  });
  await service.ready();
  return service;
}

function raise(problem: string): never {
  throw new Error(problem);
}
