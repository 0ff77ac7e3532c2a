import { pause } from '@paystream/runtime';

/** Wakes whoever waits at the time it rings; nobody is woken by an earlier ring. */
export interface Bell {
  ring(): void;
  /** Resolves at the next ring, or after `withinMs`. */
  next(withinMs?: number): Promise<void>;
}

export function createBell(): Bell {
  const waiting = new Set<() => void>();
  return {
    ring: () => {
      for (const wake of [...waiting]) wake();
    },
    next: (withinMs) =>
      new Promise((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve();
        };
        const timer = withinMs === undefined ? undefined : setTimeout(wake, withinMs);
        waiting.add(wake);
      }),
  };
}

/** Waits for the work, but no longer than the time: its value, else `undefined`. */
export async function atMost<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  const settled = new AbortController();
  try {
    return await Promise.race([work, pause(ms, settled.signal).then(() => undefined)]);
  } finally {
    settled.abort();
  }
}
