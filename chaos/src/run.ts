import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Arguments } from './arguments.ts';
import { createSteps } from './check-steps.ts';
import { type Counts, check, count } from './checker.ts';
import { faults } from './faults.ts';
import type { History } from './history.ts';
import { createInjector, type Injection, type Injector } from './injector.ts';
import { createLoad } from './load.ts';
import { createObserver } from './observer.ts';
import { createOnlooker, type Onlooker } from './onlooker.ts';
import { createRandom } from './random.ts';
import { createSchedule } from './schedule.ts';
import { createSender, type Sender, startLoad } from './sender.ts';
import { gatewayNames, isUp, paymentsNames, type System, startSystem } from './system.ts';
import type { Violation } from './violation.ts';

export interface Result {
  seed: number;
  minutes: number;
  versions: { node: string; natsServer: string; mongod: string };
  counts: Counts;
  /** Seconds from the last fault until everything had drained. */
  quietAfterMs: number;
  /** The longest time for which the harness reacted to nothing; an answer can seem late by as much. */
  stoodStillMs: number;
  injections: Injection[];
  /** Per fault, how much showed that it happened; 0 fails the run. */
  traces: { fault: string; trace: string; count: number }[];
  observed: Record<string, number>;
  memoryMiB: Record<string, number>;
  violations: Violation[];
}

export interface RunOptions extends Pick<Arguments, 'minutes' | 'faults' | 'perSecond'> {
  seed: number;
  say: (line: string) => void;
  signal: AbortSignal;
}

const answeredWithinMs = 60_000;
// A message in the hands of a process that died comes again after 30 s, one that failed after up to 72 s.
const quietWithinMs = 150_000;
const dumpEveryMs = 10_000;
const memoryEveryMs = 1_000;

/** One run: load and faults, then quiet, then the check of everything that is left. */
export async function runChaos(options: RunOptions): Promise<Result> {
  const observer = createObserver();
  const crashes: History['crashes'][number][] = [];
  options.say('starting six processes and eight proxies');
  const system = await startSystem({
    onLine: observer.onLine,
    onCrash: (process, how) => crashes.push({ process, how }),
  });
  let onlooker: Onlooker | undefined;
  let sender: Sender | undefined;
  try {
    onlooker = await createOnlooker(system);
    await untilReady(system, options.signal);
    sender = createSender(system.gatewayUrls);
    const parts = { system, observer, onlooker, sender };
    const injector = createInjector({ ...parts, signal: options.signal, say: options.say });
    return await play({ ...parts, injector, crashes, options });
  } finally {
    sender?.stop();
    await onlooker?.close();
    await system.close();
  }
}

interface Stage {
  system: System;
  observer: ReturnType<typeof createObserver>;
  onlooker: Onlooker;
  sender: Sender;
  injector: Injector;
  crashes: History['crashes'];
  options: RunOptions;
}

async function play(stage: Stage): Promise<Result> {
  const { system, observer, onlooker, sender, injector, options } = stage;
  const { seed, minutes, perSecond, say, signal } = options;
  const chosen = faults.filter(({ name }) => options.faults.includes(name));
  const schedule = createSchedule(chosen, createRandom(seed, 1));
  const memory = watchMemory(system);
  const dumps = watchRecord(onlooker);
  const ourselves = watchOurselves();
  const endsAt = performance.now() + minutes * 60_000;
  const load = startLoad(sender, createLoad(createRandom(seed, 0)), perSecond);
  try {
    for (let turn = 0; turn < chosen.length || performance.now() < endsAt; turn += 1) {
      await injector.play(schedule.next().value);
    }
    say('the faults are over; waiting for quiet');
    const overAt = performance.now();
    load.stop();
    await sender.finish(answeredWithinMs);
    const left = await untilQuiet(stage);
    const quietAfterMs = performance.now() - overAt;
    const stoodStillMs = ourselves.mostMs();
    await dumps.stop();
    signal.throwIfAborted();
    const record = await dumps.steps.take(onlooker.readRecord());
    const history: History = {
      ...{ webhooks: sender.webhooks, attempts: sender.attempts, poisons: onlooker.poisons },
      ...{ windows: injector.windows, stops: injector.stops, unhealed: injector.unhealed },
      beganAtMs: injector.beganAtMs,
      ...{ crashes: stage.crashes, left, record, steps: dumps.steps.violations },
      memory: Object.entries(memory.maxMiB).map(([process, rssMiB]) => ({ process, rssMiB })),
      hasUniqueIndex: await onlooker.hasUniqueIndex(),
      deadLetters: await onlooker.readDeadLetters(),
    };
    const violations = check(history);
    const injections = injector.results(history);
    return {
      ...{ seed, minutes, violations, injections, quietAfterMs, stoodStillMs },
      versions: { node: process.versions.node, ...(await onlooker.versions()) },
      counts: count(history, violations),
      traces: chosen.map(({ name, trace }) => ({
        fault: name,
        trace,
        count: injections.filter(({ fault }) => fault === name).reduce((sum, one) => sum + one.traces, 0),
      })),
      observed: observer.totals(),
      memoryMiB: memory.maxMiB,
    };
  } finally {
    load.stop();
    memory.stop();
    ourselves.stop();
    await dumps.stop();
  }
}

async function untilReady({ serviceUrls }: System, signal: AbortSignal): Promise<void> {
  for (const url of serviceUrls.values()) {
    while (!(await isUp(`${url}/readyz`))) await sleep(100, undefined, { signal });
  }
}

/** Resolves when nothing is left to do and everybody is ready, or the time is over: with what is then left, in words. */
async function untilQuiet({ system, sender, onlooker, options }: Stage): Promise<string[]> {
  const deadline = performance.now() + quietWithinMs;
  for (;;) {
    options.signal.throwIfAborted();
    const left = await onlooker.readLeft().catch((error: unknown) => [String(error)]);
    for (const name of [...gatewayNames, ...paymentsNames]) {
      if (!(await isUp(`${system.serviceUrls.get(name)}/readyz`))) left.push(`${name} is not ready`);
    }
    const stored = new Set(
      sender.attempts.filter(({ answer }) => answer.kind === 'stored').map(({ label }) => label),
    );
    const unanswered = sender.webhooks.filter(({ label }) => !stored.has(label)).length;
    if (unanswered > 0) left.push(`${unanswered} webhooks were never answered 200`);
    // Nobody sends any more, so waiting does not mend that one.
    if (left.length === (unanswered > 0 ? 1 : 0) || performance.now() > deadline) return left;
    await sleep(500);
  }
}

/** The largest resident set of each service; tsx included, where it runs from its source. */
function watchMemory({ members }: System) {
  const maxMiB: Record<string, number> = {};
  const timer = setInterval(() => {
    for (const name of [...gatewayNames, ...paymentsNames]) {
      const pid = members[name].pid();
      if (pid !== undefined) maxMiB[name] = Math.max(maxMiB[name] ?? 0, residentMiB(pid));
    }
  }, memoryEveryMs);
  return { maxMiB, stop: () => clearInterval(timer) };
}

function residentMiB(pid: number): number {
  try {
    const kiB = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Math.round(Number(kiB ?? 0) / 1_024);
  } catch {
    // It has just ended, or this is no Linux: then nothing is said of memory.
    return 0;
  }
}

/** Dumps of the whole record while it runs, to see that no fact changes. */
function watchRecord(onlooker: Onlooker) {
  const steps = createSteps();
  const stopping = new AbortController();
  const watch = async () => {
    while (!stopping.signal.aborted) {
      await sleep(dumpEveryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      // While the database is away there is nothing to see.
      if (!stopping.signal.aborted) await steps.take(onlooker.readRecord()).catch(() => undefined);
    }
  };
  const watching = watch();
  return {
    steps,
    stop: async () => {
      stopping.abort();
      await watching;
    },
  };
}

/** The longest time for which the harness reacted to nothing. */
function watchOurselves() {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  return {
    mostMs: () => Math.round(delay.max / 1e6),
    stop: () => delay.disable(),
  };
}
