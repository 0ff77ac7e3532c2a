import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from 'nats';

export interface Drained {
  perSecond: number;
  count: number;
  seconds: number;
}

const lookEveryMs = 25;

/**
 * How fast the queue becomes empty, as the broker says: from the first message that has left it to the last, or to the
 * end of the time. What a reader takes to start is not counted.
 */
export async function watchDrain(
  nats: NatsConnection,
  { withinMs, startsWithinMs = 60_000 }: { withinMs: number; startsWithinMs?: number },
): Promise<Drained> {
  const manager = await nats.jetstreamManager();
  const left = async () => (await manager.streams.info('payment')).state.messages;
  const total = await left();
  const deadline = performance.now() + startsWithinMs;
  let first = total;
  while (first === total) {
    if (performance.now() > deadline) throw new Error('nobody took a message');
    await sleep(lookEveryMs);
    first = await left();
  }
  const startedAt = performance.now();
  let last = first;
  let lastAt = startedAt;
  while (last > 0 && lastAt - startedAt < withinMs) {
    await sleep(lookEveryMs);
    last = await left();
    lastAt = performance.now();
  }
  const seconds = (lastAt - startedAt) / 1_000;
  return { count: first - last, seconds, perSecond: (first - last) / seconds };
}
