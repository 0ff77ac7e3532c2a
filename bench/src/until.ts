import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves as soon as it is so, or rejects with the problem. */
export async function until(isSo: () => boolean, withinMs: number, problem: string): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`${problem}: not within ${withinMs / 1_000} s`);
    await sleep(10);
  }
}
