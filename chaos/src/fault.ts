import type { History, Window } from './history.ts';
import type { Observer } from './observer.ts';
import type { Onlooker } from './onlooker.ts';
import type { Random } from './random.ts';
import type { Sender } from './sender.ts';
import type { System } from './system.ts';

/** One way to break something. */
export interface Fault {
  name: string;
  /** For `--help`. */
  what: string;
  /** What it is done to, one after the other. */
  targets: readonly string[];
  /** What shows that it happened. A run in which that stays at 0 fails. */
  trace: string;
  /** Begins it, holds it, ends it. */
  inject(target: string, scene: Scene): Promise<Injected>;
}

/** Counts the traces: as soon as the system has healed, or when all is over. */
export type Injected =
  | { when: 'healed'; count: () => number }
  | { when: 'end'; count: (history: History) => number };

/** Everything that a fault can lay hands on. */
export interface Scene {
  system: System;
  sender: Sender;
  observer: Observer;
  onlooker: Onlooker;
  random: Random;
  /** Waits; rejects when the run is stopped. */
  hold(ms: number): Promise<void>;
  /** Marks a time in which a gateway is out of order; returns the function that ends it. */
  mark(kind: Window['kind'], gateways: readonly string[]): () => void;
  stopped(stop: History['stops'][number]): void;
}

/** Holds it for a while, and ends it also when the run is stopped meanwhile. */
export async function during(scene: Scene, ms: number, end: () => unknown): Promise<void> {
  try {
    await scene.hold(ms);
  } finally {
    await end();
  }
}

/** Far above what a gateway needs; a request that waits longer has met something. */
const promptMs = 500;

/** Requests to these gateways, under way at any time from now on, that got no 200, or not at once. */
export function troubledFromNow(scene: Scene, gateways: readonly string[]): () => number {
  const fromMs = performance.now();
  return () =>
    scene.sender.attempts.filter(
      ({ gateway, sentAtMs, endedAtMs, answer }) =>
        gateways.includes(gateway) &&
        endedAtMs >= fromMs &&
        (answer.kind !== 'stored' || endedAtMs - sentAtMs > promptMs),
    ).length;
}
