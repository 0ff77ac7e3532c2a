import { setTimeout as sleep } from 'node:timers/promises';
import type { Running } from './child.ts';
import { describeExit } from './service.ts';

const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 30_000;
/** Who lived this long did not die of its start; the next pause is the shortest again. */
const HEALTHY_MS = 60_000;

export type Kept = {
  /** Starts it; the first start is not tried again, since a person is waiting for the reason. */
  start(): Promise<void>;
  /** Ends it and the starting again. */
  stop(): Promise<void>;
};

export type KeepRunningOptions<Process extends Running> = {
  name: string;
  launch: () => Process | Promise<Process>;
  /** What the first start also waits for. */
  ready?: (process: Process) => Promise<void>;
  say: (line: string) => void;
};

/** Starts a process again when it ends by itself, after a pause that grows while it keeps dying. */
export function keepRunning<Process extends Running>(options: KeepRunningOptions<Process>): Kept {
  const { name, launch, ready, say } = options;
  const stopping = new AbortController();
  let current: Process | undefined;
  let work: Promise<void> = Promise.resolve();

  async function start(): Promise<void> {
    const first = Promise.resolve(launch());
    work = first.then(
      (process) => {
        current = process;
      },
      () => {},
    );
    const process = await first;
    await ready?.(process);
    work = watch(process);
  }

  async function watch(first: Process): Promise<void> {
    let pauseMs = PAUSE_MIN_MS;
    let process: Process | undefined = first;
    while (!stopping.signal.aborted) {
      const startedAt = Date.now();
      const end = process === undefined ? 'did not start' : describeExit(await process.exited);
      if (stopping.signal.aborted) return;
      pauseMs = nextPause({ pauseMs, livedMs: Date.now() - startedAt });
      say(`${name} ended by itself (${end}). It is started again in ${pauseMs / 1000} s.`);
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      pauseMs *= 2;
      process = await relaunch();
    }
  }

  async function relaunch(): Promise<Process | undefined> {
    try {
      current = await launch();
      return current;
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  async function stop(): Promise<void> {
    stopping.abort();
    await current?.stop();
    // A start may have been under way, and have given a process that is to end too.
    await work;
    await current?.stop();
  }

  return { start, stop };
}

/** The pause before the next start. */
export function nextPause({ pauseMs, livedMs }: { pauseMs: number; livedMs: number }): number {
  return livedMs >= HEALTHY_MS ? PAUSE_MIN_MS : Math.min(pauseMs, PAUSE_MAX_MS);
}
