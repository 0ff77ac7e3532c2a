/** Does work that shares a key one after the other, in the order in which it was given, and all other work side by side. */
export type OneAtATime = <T>(keys: ReadonlySet<string>, work: () => Promise<T>) => Promise<T>;

export function createOneAtATime(): OneAtATime {
  // The last work given for each key.
  const tails = new Map<string, Promise<unknown>>();

  return async (keys, work) => {
    const before = new Set([...keys].flatMap((key) => tails.get(key) ?? []));
    // Whoever waits, waits only for what was given earlier: no two can wait for each other.
    const working = before.size === 0 ? work() : Promise.allSettled(before).then(work);
    for (const key of keys) tails.set(key, working);
    try {
      return await working;
    } finally {
      for (const key of keys) if (tails.get(key) === working) tails.delete(key);
    }
  };
}
