import { describeError, type Log, pause } from '@paystream/runtime';

export interface RecentOptions<T> {
  ask: () => Promise<T>;
  log: Log;
  /** Whoever looks again within this gets the answer of before. */
  freshMs?: number;
  /** Nobody waits longer than this. */
  withinMs?: number;
}

/**
 * The last answer while it is fresh, else a new one, for all who look meanwhile the same. Undefined when there is none in
 * time: so a scrape neither hammers nor waits for whoever does not answer.
 */
export function createRecent<T>({
  ask,
  log,
  freshMs = 2_000,
  withinMs = 1_000,
}: RecentOptions<T>): () => Promise<T | undefined> {
  let last: { value: T; atMs: number } | undefined;
  let asking: Promise<void> | undefined;

  const askOnce = async () => {
    try {
      const value = await ask();
      last = { value, atMs: performance.now() };
    } catch (error) {
      log.debug({ error: describeError(error) }, 'figures.unknown');
    }
    asking = undefined;
  };
  const fresh = () =>
    last !== undefined && performance.now() - last.atMs < freshMs ? last.value : undefined;

  return async () => {
    const known = fresh();
    if (known !== undefined) return known;
    asking ??= askOnce();
    const answered = new AbortController();
    await Promise.race([asking, pause(withinMs, answered.signal)]);
    answered.abort();
    return fresh();
  };
}
