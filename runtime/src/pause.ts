/** Resolves after the time, or as soon as the signal is aborted: whoever waits looks at the signal itself. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    // The global one: a test can put a clock of its own in its place.
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}

/** An error in words, for a log line or a reason. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

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
