import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Calls `act` once for each offset, that many milliseconds after now, and never waits for one call before the next.
 * The schedule is absolute, so that a late call makes none behind it late. Rejects with the first call that fails.
 */
export async function atOffsets(
  offsetsMs: readonly number[],
  act: (index: number) => Promise<void>,
): Promise<void> {
  const startedAt = performance.now();
  const acts: Promise<void>[] = [];
  let failure: { error: unknown } | undefined;
  for (const [index, offsetMs] of offsetsMs.entries()) {
    const waitMs = startedAt + offsetMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    if (failure !== undefined) throw failure.error;
    const acting = act(index).catch((error: unknown) => {
      failure ??= { error };
      throw error;
    });
    // Awaited below; until then a failure is nobody's surprise.
    acting.catch(() => undefined);
    acts.push(acting);
  }
  await Promise.all(acts);
}
