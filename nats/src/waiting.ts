import { pause } from '@paystream/runtime';

/** Waits for the work, but no longer than the time: its value, else `undefined`. */
export async function atMost<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  const settled = new AbortController();
  try {
    return await Promise.race([work, pause(ms, settled.signal).then(() => undefined)]);
  } finally {
    settled.abort();
  }
}
