import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Injected, Scene } from './fault.ts';
import type { History, Window } from './history.ts';
import { createRandom } from './random.ts';
import type { Episode, Planned } from './schedule.ts';
import { gatewayNames, isUp } from './system.ts';

/** What became of one injection. */
export interface Injection {
  fault: string;
  target: string;
  /** Since the begin of the run. */
  atMs: number;
  tookMs: number;
  /** Nothing else was broken at the same time. */
  alone: boolean;
  /** From its end until the system was well: undefined if it was not within a minute. */
  healMs: number | undefined;
  /** What showed that it happened. */
  traces: number;
}

export interface Injector {
  /** Injects the faults of the episode and waits until the system is well again. */
  play(episode: Episode): Promise<void>;
  /** What there is to say when everything is over. */
  results(history: History): Injection[];
  windows: readonly Window[];
  stops: History['stops'];
  unhealed: readonly string[];
}

export interface InjectorOptions extends Pick<Scene, 'system' | 'sender' | 'observer' | 'onlooker'> {
  signal: AbortSignal;
  say: (line: string) => void;
}

const healWithinMs = 60_000;
const lookEveryMs = 100;
/** Before an episode, so that it meets a system at work. */
const restMs = 1_000;

export function createInjector({ signal, say, ...hands }: InjectorOptions): Injector {
  const startedAt = performance.now();
  const done: { injection: Injection; injected: Injected }[] = [];
  const windows: Window[] = [];
  const stops: History['stops'][number][] = [];
  const unhealed: string[] = [];
  let probes = 0;

  const sceneOf = ({ seed }: Planned): Scene => ({
    ...hands,
    random: createRandom(seed, 0),
    hold: async (ms) => {
      await sleep(ms, undefined, { signal });
    },
    mark: (kind, gateways) => {
      const fromMs = performance.now();
      return () => {
        const toMs = performance.now();
        windows.push(...gateways.map((gateway) => ({ kind, gateway, fromMs, toMs })));
      };
    },
    stopped: (stop) => stops.push(stop),
  });

  const inject = async (planned: Planned) => {
    await sleep(planned.afterMs, undefined, { signal });
    const { fault, target } = planned;
    const atMs = performance.now() - startedAt;
    say(`${seconds(atMs)}  ${fault.name} ${target}`);
    const injected = await fault.inject(target, sceneOf(planned));
    const tookMs = performance.now() - startedAt - atMs;
    return {
      injected,
      injection: { fault: fault.name, target, atMs, tookMs, alone: true, healMs: undefined, traces: 0 },
    };
  };

  const play: Injector['play'] = async (episode) => {
    await sleep(restMs, undefined, { signal });
    const injections = await Promise.all(episode.map(inject));
    const endedAt = performance.now();
    const well = await untilWell(endedAt + healWithinMs);
    const healMs = well ? performance.now() - endedAt : undefined;
    const names = injections.map(({ injection }) => `${injection.fault} ${injection.target}`).join(' with ');
    say(
      `${' '.repeat(8)}  ${healMs === undefined ? 'not well within a minute' : `well after ${seconds(healMs)}`}`,
    );
    if (!well) unhealed.push(names);
    for (const { injection, injected } of injections) {
      const traces = injected.when === 'healed' ? injected.count() : 0;
      done.push({ injected, injection: { ...injection, alone: episode.length === 1, healMs, traces } });
    }
  };

  /** Well: every service says that it is ready, and a webhook sent now through each gateway is applied. */
  const untilWell = async (deadline: number) => {
    const waits = [...gatewayNames.keys()].map((gateway) => untilApplied(gateway, deadline));
    for (const url of hands.system.serviceUrls.values()) waits.push(untilReady(url, deadline));
    return (await Promise.all(waits)).every((well) => well);
  };
  const untilReady = async (url: string, deadline: number) => {
    while (!(await isUp(`${url}/readyz`))) {
      if (performance.now() > deadline) return false;
      await sleep(lookEveryMs, undefined, { signal });
    }
    return true;
  };
  const untilApplied = async (gateway: number, deadline: number) => {
    probes += 1;
    const label = `w${900_000 + probes}`;
    const webhook = {
      ...{ label, txId: randomUUID(), action: 'NEW' as const, amount: 1, note: `${label} probe` },
      webhookId: undefined,
    };
    const isStored = async () => (await hands.sender.attempt(webhook, gateway)).answer.kind === 'stored';
    while (!(await isStored())) {
      if (performance.now() > deadline) return false;
      await sleep(lookEveryMs, undefined, { signal });
    }
    while (!hands.observer.isApplied(webhook.txId)) {
      if (performance.now() > deadline) return false;
      await sleep(lookEveryMs, undefined, { signal });
    }
    return true;
  };

  return {
    play,
    windows,
    stops,
    unhealed,
    results: (history) =>
      done.map(({ injection, injected }) =>
        injected.when === 'end' ? { ...injection, traces: injected.count(history) } : injection,
      ),
  };
}

export const seconds = (ms: number) => `${(ms / 1_000).toFixed(1).padStart(6)} s`;
