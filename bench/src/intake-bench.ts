import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keepSources, type NatsServer, openSourcesFile } from '@paystream/local';
import type { NatsConnection } from 'nats';
import type { Size } from './arguments.ts';
import { countFsyncs } from './fsyncs.ts';
import type { Rig } from './rig.ts';
import { type CannonOptions, type CannonResult, shoot } from './shoot.ts';
import { inRounds, type Spread, spreadOf } from './spread.ts';
import { cpuMs } from './usage.ts';

export interface IntakeSettings {
  connections: number[];
  rounds: number;
  seconds: number;
  warmUpSeconds: number;
  /** Webhooks a second of each target; as many as it answers unless told. */
  perSecond?: number;
}

export function intakeSettings(size: Size): IntakeSettings {
  // So few that other tests have the machine meanwhile.
  if (size === 'small') return { connections: [4], rounds: 1, seconds: 1, warmUpSeconds: 0, perSecond: 100 };
  return { connections: [64, 256], rounds: size === 'full' ? 5 : size, seconds: 5, warmUpSeconds: 3 };
}

export interface IntakeResult {
  name: string;
  title: string;
  connections: number;
  perSecond: Spread;
  p50: Spread;
  p99: Spread;
  ok: number;
  refused: number;
  failed: number;
  /** Answered 200 and not in the stream: must be 0. */
  lost: number;
  /** Of the broker, for each webhook answered 200; undefined where nobody can count them, or there is no broker. */
  fsyncs: number | undefined;
  /** Microseconds of processor time for each webhook answered 200; undefined where nobody counts it. */
  cpu: { service: Spread; broker: Spread | undefined } | undefined;
  /** Of one core, by the load generator. */
  generatorBusy: Spread;
}

interface Target {
  name: string;
  title: string;
  url: string;
  pid: number;
  stripeSecret: string | undefined;
  broker: { server: NatsServer; nats: NatsConnection } | undefined;
}

const oursEntry = 'third-party-gateway/src/main.ts';
const plainEntry = 'bench/src/plain-intake.ts';

/** Every target gets the same load in turns, round after round. */
export async function runIntake(
  rig: Rig,
  settings: IntakeSettings,
  { say, only }: { say: (line: string) => void; only?: readonly string[] | undefined },
): Promise<IntakeResult[]> {
  const started = await startTargets(rig, only);
  const results: IntakeResult[] = [];
  const rate = settings.perSecond === undefined ? {} : { perSecond: settings.perSecond };
  for (const connections of settings.connections) {
    const load = { connections, ...rate };
    // Before it is compiled, code is slower than it ever is again.
    if (settings.warmUpSeconds > 0) {
      for (const target of started) await fire(target, { ...load, seconds: settings.warmUpSeconds });
    }
    const rounds = await inRounds(started, settings.rounds, async (target, round) => {
      const shot = await fire(target, { ...load, seconds: settings.seconds });
      say(
        `${connections} connections, round ${round}: ${target.title}: ${Math.round(shot.perSecond)}/s, p99 ${shot.p99} ms`,
      );
      return shot;
    });
    for (const [index, target] of started.entries()) {
      const shots = rounds[index] ?? [];
      const of = (value: (shot: Shot) => number) => shots.map(value);
      const sum = (value: (shot: Shot) => number) => of(value).reduce((left, right) => left + right, 0);
      results.push({
        name: target.name,
        title: target.title,
        connections,
        perSecond: spreadOf(of(({ perSecond }) => perSecond)),
        p50: spreadOf(of(({ p50 }) => p50)),
        p99: spreadOf(of(({ p99 }) => p99)),
        ok: sum(({ ok }) => ok),
        refused: sum(({ refused }) => refused),
        failed: sum(({ failed }) => failed),
        lost: sum(({ lost }) => lost),
        fsyncs: await fsyncsPerWebhook(target, load),
        cpu: cpuOf(shots),
        generatorBusy: spreadOf(of(({ busy }) => busy)),
      });
    }
  }
  return results;
}

const ours = { SOURCES_FILE: openSourcesFile, PROVISION: 'true', BROKER_SYNC: 'always' };
const targets = [
  { name: 'ours', title: 'Paystream, synced', entry: oursEntry, sync: 'always', env: ours },
  {
    name: 'ours-quiet',
    title: 'the same without a log',
    entry: oursEntry,
    sync: 'always',
    env: { ...ours, LOG_LEVEL: 'warn' },
  },
  {
    name: 'ours-stripe',
    title: 'the same, `stripe` verified',
    entry: oursEntry,
    sync: 'always',
    env: ours,
    source: 'stripe',
  },
  { name: 'plain', title: 'plain, not synced', entry: plainEntry, sync: '2m', env: {} },
  { name: 'plain-synced', title: 'plain, synced', entry: plainEntry, sync: 'always', env: {} },
  { name: 'floor', title: 'node:http alone', entry: 'bench/src/floor.ts', sync: undefined, env: {} },
] as const;

async function startTargets(rig: Rig, only: readonly string[] | undefined): Promise<Target[]> {
  const brokers = { always: await rig.startBroker('always'), '2m': await rig.startBroker('2m') };
  const sourcesFile = keepSources(rig.folder);
  const started: Target[] = [];
  for (const target of targets) {
    const { name, title, entry, sync } = target;
    if (only?.includes(name) === false) continue;
    const isStripe = 'source' in target;
    const env = isStripe ? { ...target.env, SOURCES_FILE: sourcesFile } : target.env;
    const broker = sync === undefined ? undefined : brokers[sync];
    const uri: Record<string, string> = broker === undefined ? {} : { NATS_URI: broker.server.uri };
    const service = await rig.start({ name, entry, env: { ...uri, ...env } });
    await service.ready();
    const url = `${service.url}/webhooks/${isStripe ? target.source : 'x-payment'}`;
    const stripeSecret = isStripe
      ? readFileSync(join(rig.folder, 'secrets/stripe'), 'utf8').trim()
      : undefined;
    started.push({ name, title, broker, url, pid: service.pid, stripeSecret });
  }
  return started;
}

type Load = Pick<CannonOptions, 'connections' | 'seconds' | 'perSecond'>;
type Shot = CannonResult & { lost: number; cpu: { service: number; broker: number | undefined } | undefined };

/** Webhooks, and what they have cost the service and its broker. */
async function fire({ url, pid, broker, stripeSecret }: Target, load: Load): Promise<Shot> {
  const manager = await broker?.nats.jetstreamManager();
  await manager?.streams.purge('payment');
  const lastSequence = async () => (await manager?.streams.info('payment'))?.state.last_seq;
  const usedMs = () => ({ service: cpuMs(pid), broker: broker && cpuMs(broker.server.pid) });
  const before = { sequence: await lastSequence(), used: usedMs() };
  const shot = await shoot({ url, ...load, ...(stripeSecret === undefined ? {} : { stripeSecret }) });
  const used = usedMs();
  const sequence = await lastSequence();
  const stored =
    sequence === undefined || before.sequence === undefined ? shot.ok : sequence - before.sequence;
  const each = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? undefined : ((to - from) * 1_000) / shot.ok;
  const service = each(before.used.service, used.service);
  const cpu = service === undefined ? undefined : { service, broker: each(before.used.broker, used.broker) };
  return { ...shot, lost: Math.max(0, shot.ok - stored), cpu };
}

function cpuOf(shots: readonly Shot[]): IntakeResult['cpu'] {
  const counted = shots.flatMap(({ cpu }) => cpu ?? []);
  if (counted.length === 0) return undefined;
  const broker = counted.flatMap((cpu) => cpu.broker ?? []);
  return {
    service: spreadOf(counted.map(({ service }) => service)),
    broker: broker.length === 0 ? undefined : spreadOf(broker),
  };
}

async function fsyncsPerWebhook(target: Target, load: Omit<Load, 'seconds'>): Promise<number | undefined> {
  if (target.broker === undefined) return undefined;
  let ok = 0;
  const fsyncs = await countFsyncs(target.broker.server.pid, async () => {
    ({ ok } = await fire(target, { ...load, seconds: 1 }));
  });
  return fsyncs === undefined || ok === 0 ? undefined : fsyncs / ok;
}
