import { setTimeout as sleep } from 'node:timers/promises';
import { describeExit, type Running } from '@paystream/local';
import type { Stop } from './history.ts';

/** One process of the system, under a supervisor that starts it again when it ends by itself. */
export interface Member {
  name: string;
  pid(): number | undefined;
  /** Resolves when it takes connections. `env` is for this life of it only. */
  start(env?: Record<string, string>): Promise<void>;
  /** SIGKILL; it stays away until `start`. */
  kill(): Promise<void>;
  /** SIGTERM, and how it ended; it stays away until `start`. */
  stop(): Promise<Stop>;
  pause(): void;
  resume(): void;
  /** For good. */
  close(): Promise<void>;
}

export interface MemberOptions {
  name: string;
  launch: (env: Record<string, string>) => Promise<Running>;
  onCrash: (how: string) => void;
}

/** A supervisor that starts at once would hide a process that cannot live. */
const startAgainAfterMs = 1_000;

export function createMember({ name, launch, onCrash }: MemberOptions): Member {
  let current: Running | undefined;
  let closed = false;

  const start = async (env: Record<string, string> = {}) => {
    const process = await launch(env);
    current = process;
    void process.exited.then(async (exit) => {
      // Who is asked to end is forgotten first.
      if (current !== process) return;
      current = undefined;
      onCrash(describeExit(exit));
      await sleep(startAgainAfterMs);
      if (!closed && current === undefined) await start().catch((error) => onCrash(String(error)));
    });
    if (closed) await end((running) => running.kill());
  };
  const end = async <Result>(how: (running: Running) => Promise<Result>) => {
    const process = current;
    current = undefined;
    return process === undefined ? undefined : how(process);
  };

  return {
    name,
    pid: () => current?.pid,
    start,
    kill: async () => {
      await end((running) => running.kill());
    },
    stop: async () => {
      const startedAt = performance.now();
      const exit = await end((running) => running.stop());
      const tookMs = performance.now() - startedAt;
      return { process: name, code: exit?.code ?? null, signal: exit?.signal ?? null, tookMs };
    },
    pause: () => current?.pause(),
    resume: () => current?.resume(),
    close: async () => {
      closed = true;
      await end((running) => running.stop());
    },
  };
}
