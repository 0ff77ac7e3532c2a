import type { Delivery } from '@paystream/nats';
import { type Pace, type Position, resume, schedule } from './domain/pacer.ts';

interface Held {
  delivery: Delivery;
  storedAtMs: number;
  dueAtMs: number;
}

/** Messages whose turn has come. */
export interface Due {
  deliveries: Delivery[];
  /** When the first of them was due. */
  dueAtMs: number;
  /** Where the replay stood before them. */
  before: Position | undefined;
  /** They begin a replay. */
  isFirst: boolean;
  items: readonly Held[];
}

/** The messages in hand that wait for their turn, and where the replay stands. Every time is given by the caller. */
export interface Timetable {
  add(deliveries: readonly Delivery[], nowMs: number): void;
  /** Takes out what is due, as much as fits and one at least, or undefined when nothing is. */
  takeDue(nowMs: number, bytesMax?: number): Due | undefined;
  /** These of them could not be applied: the replay stands where it stood before them. */
  putBack(due: Due, deliveries: readonly Delivery[]): void;
  /** A new timetable for all of it, at this pace, from where the old one stood at `sinceMs`. */
  restart(times: { sinceMs: number; nowMs: number; pace: Pace }): void;
  /** Forgets all, and gives what it held, first in turn first. */
  clear(): Delivery[];
  deliveries(): Delivery[];
  size(): number;
  bytes(): number;
  nextDueAtMs(): number | undefined;
  lastDueAtMs(): number | undefined;
}

// Less than this late is the jitter of a supply that goes on; more, and there was nothing to replay meanwhile: what
// comes then begins anew, and no wave makes up for the time between.
const starvedMs = 500;

export function createTimetable(initialPace: Pace): Timetable {
  let pace = initialPace;
  let held: Held[] = [];
  // The last message in stored order that fell due; with it, all that are held have their place.
  let behind: Position | undefined;

  const plan = (nowMs: number) => {
    const inOrder = held.sort(byStored);
    const dueAtMs = schedule(
      inOrder.map(({ storedAtMs }) => storedAtMs),
      { behind, pace, nowMs },
    );
    held = inOrder.map((item, index) => ({ ...item, dueAtMs: dueAtMs[index] ?? nowMs })).sort(byDue);
  };

  const ahead = () => held.find(({ storedAtMs }) => storedAtMs > (behind?.storedAtMs ?? 0));

  return {
    add: (deliveries, nowMs) => {
      const wasEmpty = held.length === 0;
      for (const delivery of deliveries) {
        held.push({ delivery, storedAtMs: delivery.storedAt.getTime(), dueAtMs: nowMs });
      }
      plan(nowMs);
      if (!wasEmpty || (ahead()?.dueAtMs ?? nowMs) >= nowMs - starvedMs) return;
      behind = undefined;
      plan(nowMs);
    },
    takeDue: (nowMs, bytesMax = Number.POSITIVE_INFINITY) => {
      let bytes = 0;
      const count = held.findIndex(({ delivery, dueAtMs }, index) => {
        bytes += delivery.data.length;
        return dueAtMs > nowMs || (index > 0 && bytes > bytesMax);
      });
      const items = held.splice(0, count === -1 ? held.length : count);
      const [first] = items;
      if (first === undefined) return undefined;
      const before = behind;
      for (const { storedAtMs, dueAtMs } of items) {
        if (behind === undefined || storedAtMs > behind.storedAtMs) behind = { storedAtMs, dueAtMs };
      }
      const deliveries = items.map(({ delivery }) => delivery);
      return { deliveries, dueAtMs: first.dueAtMs, before, isFirst: before === undefined, items };
    },
    putBack: ({ items, before }, deliveries) => {
      const left = new Set(deliveries);
      held = [...items.filter(({ delivery }) => left.has(delivery)), ...held].sort(byDue);
      const isBefore = before !== undefined && behind !== undefined && before.storedAtMs < behind.storedAtMs;
      if (before === undefined || isBefore) behind = before;
    },
    restart: ({ sinceMs, nowMs, pace: nextPace }) => {
      pace = nextPace;
      behind = behind && resume(behind, ahead(), { pace, sinceMs, nowMs });
      plan(nowMs);
    },
    clear: () => {
      behind = undefined;
      return held.splice(0).map(({ delivery }) => delivery);
    },
    deliveries: () => held.map(({ delivery }) => delivery),
    size: () => held.length,
    bytes: () => held.reduce((sum, { delivery }) => sum + delivery.data.length, 0),
    nextDueAtMs: () => held[0]?.dueAtMs,
    lastDueAtMs: () => held.at(-1)?.dueAtMs,
  };
}

/** Of the messages themselves. */
export const bytesOf = (deliveries: readonly Delivery[]): number =>
  deliveries.reduce((sum, { data }) => sum + data.length, 0);

const byStored = (left: Held, right: Held) =>
  left.storedAtMs - right.storedAtMs || left.delivery.sequence - right.delivery.sequence;
const byDue = (left: Held, right: Held) => left.dueAtMs - right.dueAtMs || byStored(left, right);
