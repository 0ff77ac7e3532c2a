import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves after the time, or as soon as the signal is aborted: whoever waits looks at the signal itself. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}

/** An error in words, for a log line or a reason. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
