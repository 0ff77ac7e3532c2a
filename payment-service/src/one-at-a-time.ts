/** Does work that shares a key one after the other, in the order in which it was given, and all other work side by side. */
export type OneAtATime = <T>(keys: ReadonlySet<string>, work: () => Promise<T>) => Promise<T>;

const nothing = () => undefined;

export function createOneAtATime(): OneAtATime {
  // The last work given for each key.
  const tails = new Map<string, Promise<unknown>>();

  return async (keys, work) => {
    const before = new Set([...keys].flatMap((key) => tails.get(key) ?? []));
    // Whoever waits, waits only for what was given earlier: no two can wait for each other.
    const working = before.size === 0 ? work() : Promise.all(before).then(work);
    // Without its result: whoever waits needs only the end.
    const ended = working.then(nothing, nothing);
    for (const key of keys) tails.set(key, ended);
    try {
      return await working;
    } finally {
      for (const key of keys) if (tails.get(key) === ended) tails.delete(key);
    }
  };
}
