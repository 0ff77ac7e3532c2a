/** How long the event loop has been busy without a look around. */
export interface Turn {
  /** Whether the turn has taken its time: what else is to be begun in it would keep waiting what waits already. */
  isSpent(): boolean;
}

/**
 * A turn begins with the first question in it. Thousands of requests that arrive together are read in one turn, and the broker's
 * word, the timers and the clock of every request wait for its end.
 */
export function createTurn({ lastsMs }: { lastsMs: number }): Turn {
  let beganAt: number | undefined;
  return {
    isSpent: () => {
      if (beganAt === undefined) {
        beganAt = performance.now();
        setImmediate(() => {
          beganAt = undefined;
        });
      }
      return performance.now() - beganAt > lastsMs;
    },
  };
}
