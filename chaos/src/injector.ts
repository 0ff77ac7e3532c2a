import { setTimeout as sleep } from 'node:timers/promises';
import type { Injected, Scene } from './fault.ts';
import type { History, Window } from './history.ts';
import { createRandom } from './random.ts';
import type { Episode, Planned } from './schedule.ts';
import { createWell } from './well.ts';

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
  /** What the times of its faults are counted from. */
  beganAtMs: number;
}

export interface InjectorOptions extends Pick<Scene, 'system' | 'sender' | 'observer' | 'onlooker'> {
  signal: AbortSignal;
  say: (line: string) => void;
}

/** Before an episode, so that it meets a system at work. */
const restMs = 1_000;

export function createInjector({ signal, say, ...hands }: InjectorOptions): Injector {
  const startedAt = performance.now();
  const done: { injection: Injection; injected: Injected }[] = [];
  const windows: Window[] = [];
  const stops: History['stops'][number][] = [];
  const unhealed: string[] = [];
  const scene = sceneOf({ signal, windows, stops });
  const untilWell = createWell({ ...hands, signal });

  const inject = async (planned: Planned) => {
    await sleep(planned.afterMs, undefined, { signal });
    const { fault, target } = planned;
    const atMs = performance.now() - startedAt;
    say(`${seconds(atMs)}  ${fault.name} ${target}`);
    const injected = await fault.inject(target, {
      ...hands,
      ...scene,
      random: createRandom(planned.seed, 0),
    });
    const tookMs = performance.now() - startedAt - atMs;
    return {
      injected,
      injection: { fault: fault.name, target, atMs, tookMs, alone: true, healMs: undefined, traces: 0 },
    };
  };

  const play: Injector['play'] = async (episode) => {
    await sleep(restMs, undefined, { signal });
    const injections = await Promise.all(episode.map(inject));
    const healMs = await untilWell();
    const names = injections.map(({ injection }) => `${injection.fault} ${injection.target}`).join(' with ');
    say(
      `          ${healMs === undefined ? 'not well within a minute' : `well after ${seconds(healMs).trim()}`}`,
    );
    if (healMs === undefined) unhealed.push(names);
    for (const { injection, injected } of injections) {
      const traces = injected.when === 'healed' ? injected.count() : 0;
      done.push({ injected, injection: { ...injection, alone: episode.length === 1, healMs, traces } });
    }
  };

  return {
    play,
    windows,
    stops,
    unhealed,
    beganAtMs: startedAt,
    results: (history) =>
      done.map(({ injection, injected }) =>
        injected.when === 'end' ? { ...injection, traces: injected.count(history) } : injection,
      ),
  };
}

interface Notebook {
  signal: AbortSignal;
  windows: Window[];
  stops: History['stops'][number][];
}

function sceneOf({ signal, windows, stops }: Notebook): Pick<Scene, 'hold' | 'mark' | 'stopped'> {
  return {
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
    stopped: (stop) => void stops.push(stop),
  };
}

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1).padStart(6)} s`;
