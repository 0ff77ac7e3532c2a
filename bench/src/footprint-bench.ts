import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '@paystream/local';
import type { Size } from './arguments.ts';
import type { Rig } from './rig.ts';
import { clear, startGateway, startPayments, untilDrained } from './services.ts';
import { shoot } from './shoot.ts';
import { cpuMs, residentMiB } from './usage.ts';

export interface FootprintSettings {
  idleMs: number;
  seconds: number;
  perSecond: number;
  connections: number;
}

export function footprintSettings(size: Size): FootprintSettings {
  if (size === 'small') return { idleMs: 100, seconds: 1, perSecond: 20, connections: 4 };
  return { idleMs: 5_000, seconds: size === 'full' ? 60 : size, perSecond: 1_000, connections: 64 };
}

export interface Footprint {
  service: string;
  /** From the start of the process until `/readyz` says yes. */
  readyMs: number;
  idleMiB: number;
  /** Of the first and of the second half of the load, and the most of all. */
  firstHalfMiB: number;
  secondHalfMiB: number;
  mostMiB: number;
  /** Evenly spread over the load, the first before it. */
  overTime: { seconds: number; mib: number }[];
  /** How fast it grows after the first quarter, by all samples: near 0, memory is flat. */
  mibAnHour: number;
  /** Undefined where nobody counts it. */
  cpuMsPerThousand: number | undefined;
}

const sampleEveryMs = 250;

export async function runFootprint(
  rig: Rig,
  settings: FootprintSettings,
  say: (line: string) => void,
): Promise<Footprint[]> {
  await clear(rig);
  const started = [
    await startTimed('third-party-gateway', () => startGateway(rig)),
    await startTimed('payment-service', () => startPayments(rig)),
  ];
  say('started');
  await sleep(settings.idleMs);
  const watched = started.map(({ service }) => watch(service));
  const [gateway] = started;
  const { ok } = await shoot({
    url: `${gateway?.service.url}/webhooks/x-payment`,
    connections: settings.connections,
    seconds: settings.seconds,
    perSecond: settings.perSecond,
  });
  await untilDrained(rig);
  const results = watched.map((stop) => stop());
  for (const { service } of started) await service.stop();
  return started.map(({ name, readyMs }, index) => {
    const { samples, usedMs } = results[index] ?? { samples: [], usedMs: undefined };
    const half = Math.ceil(samples.length / 2);
    return {
      service: name,
      readyMs,
      idleMiB: samples[0] ?? 0,
      firstHalfMiB: Math.max(...samples.slice(0, half)),
      secondHalfMiB: Math.max(...samples.slice(half), 0),
      mostMiB: Math.max(...samples),
      overTime: pick(samples),
      mibAnHour: slopeAnHour(samples.slice(Math.ceil(samples.length / 4))),
      cpuMsPerThousand: usedMs === undefined ? undefined : Math.round((usedMs * 1_000) / ok),
    };
  });
}

const pickedMax = 13;

function pick(samples: readonly number[]): Footprint['overTime'] {
  const every = Math.max(1, Math.floor((samples.length - 1) / (pickedMax - 1)));
  return samples.flatMap((mib, index) =>
    index % every === 0 ? [{ seconds: Math.round((index * sampleEveryMs) / 1_000), mib }] : [],
  );
}

/** Of the line that lies closest to all samples. */
export function slopeAnHour(samples: readonly number[]): number {
  const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = (samples.length - 1) / 2;
  const mean = meanOf(samples);
  const shared = samples.reduce((sum, mib, index) => sum + (index - middle) * (mib - mean), 0);
  const spread = samples.reduce((sum, _, index) => sum + (index - middle) ** 2, 0);
  return spread === 0 ? 0 : (shared / spread) * (3_600_000 / sampleEveryMs);
}

async function startTimed(name: string, start: () => Promise<Service>) {
  const startedAt = performance.now();
  const service = await start();
  await service.ready();
  return { name, service, readyMs: Math.round(performance.now() - startedAt) };
}

function watch({ pid }: Service): () => { samples: number[]; usedMs: number | undefined } {
  const samples = [residentMiB(pid)];
  const before = cpuMs(pid);
  const timer = setInterval(() => samples.push(residentMiB(pid)), sampleEveryMs);
  return () => {
    clearInterval(timer);
    samples.push(residentMiB(pid));
    const after = cpuMs(pid);
    return { samples, usedMs: before === undefined || after === undefined ? undefined : after - before };
  };
}
