import type { Delivery } from '@paystream/nats';
import { type Pace, type Position, reschedule, schedule } from './domain/pacer.ts';

interface Held {
  delivery: Delivery;
  storedAtMs: number;
  deliveries: number;
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
  /** Takes out what is due, or undefined when nothing is. */
  takeDue(nowMs: number): Due | undefined;
  /** These of them could not be applied: the replay stands where it stood before them. */
  putBack(due: Due, deliveries: readonly Delivery[]): void;
  /** A new timetable for all of it, at this pace, from where the old one stood at `sinceMs`. */
  restart(times: { sinceMs: number; nowMs: number; pace: Pace }): void;
  /** Forgets all, and gives what it held, first in turn first. */
  clear(): Delivery[];
  deliveries(): Delivery[];
  size(): number;
  /** It waits for what may still come of the begin of a replay. */
  isGathering(nowMs: number): boolean;
  nextDueAtMs(): number | undefined;
  lastDueAtMs(): number | undefined;
}

// Less than this late is the jitter of a supply that goes on; more, and there was nothing to replay meanwhile: what
// comes then begins anew, and no wave makes up for the time between.
const starvedMs = 500;
// What another process gave back comes in no sure order: when the broker meets the last pull of the one that went away,
// it puts the first message behind all others. So a replay begins in stored order with what comes within this time.
const gatherMs = 200;

export function createTimetable(initialPace: Pace): Timetable {
  let pace = initialPace;
  let held: Held[] = [];
  let position: Position | undefined;
  let behind: Position | undefined;
  // When the first of all is due.
  let beginsAtMs: number | undefined;

  /** Nothing was played yet, so all of it can still be put in order. */
  const begin = (atMs: number) => {
    // With nothing to play the begin is still open.
    beginsAtMs = held.length > 0 ? atMs : undefined;
    position = undefined;
    held = held
      .toSorted((left, right) => left.storedAtMs - right.storedAtMs)
      .map((item) => {
        // Nothing is behind us, so a redelivery has its own place too.
        const next = schedule(position, { ...item, deliveries: 1 }, { pace, nowMs: atMs });
        position = next.position;
        return { ...item, dueAtMs: next.dueAtMs };
      });
  };

  const addOne = (delivery: Delivery, nowMs: number) => {
    const message = { storedAtMs: delivery.storedAt.getTime(), deliveries: delivery.deliveries };
    let next = schedule(position, message, { pace, nowMs });
    if (held.length === 0 && next.dueAtMs < nowMs - starvedMs) {
      behind = undefined;
      beginsAtMs = undefined;
      next = schedule(undefined, message, { pace, nowMs });
    }
    position = next.position;
    held.push({ delivery, ...message, dueAtMs: next.dueAtMs });
  };

  return {
    add: (deliveries, nowMs) => {
      for (const delivery of deliveries) addOne(delivery, nowMs);
      if (behind === undefined) begin(beginsAtMs ?? nowMs + gatherMs);
      else held.sort(byDue);
    },
    takeDue: (nowMs) => {
      const count = held.findIndex(({ dueAtMs }) => dueAtMs > nowMs);
      const items = held.splice(0, count === -1 ? held.length : count);
      const [first] = items;
      const last = items.at(-1);
      if (first === undefined || last === undefined) return undefined;
      const before = behind;
      if (behind === undefined || last.storedAtMs >= behind.storedAtMs) {
        behind = { storedAtMs: last.storedAtMs, dueAtMs: last.dueAtMs };
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
      if (behind === undefined) return begin(Math.max(nowMs, beginsAtMs ?? nowMs + gatherMs));
      const ahead = held.find(({ storedAtMs }) => storedAtMs > (behind?.storedAtMs ?? 0));
      const next = reschedule(held, pace, { behind, nextDueAtMs: ahead?.dueAtMs, sinceMs, nowMs });
      held = held
        .map((item, index) => ({ ...item, dueAtMs: next.dueAtMs[index] ?? item.dueAtMs }))
        .sort(byDue);
      position = next.position;
      behind = next.behind;
    },
    clear: () => {
      position = undefined;
      behind = undefined;
      beginsAtMs = undefined;
      return held.splice(0).map(({ delivery }) => delivery);
    },
    deliveries: () => held.map(({ delivery }) => delivery),
    size: () => held.length,
    isGathering: (nowMs) => behind === undefined && (beginsAtMs === undefined || nowMs < beginsAtMs),
    nextDueAtMs: () => held[0]?.dueAtMs,
    lastDueAtMs: () => held.at(-1)?.dueAtMs,
  };
}

const byDue = (left: Held, right: Held) => left.dueAtMs - right.dueAtMs || left.storedAtMs - right.storedAtMs;
