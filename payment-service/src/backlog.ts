import type { Delivery, Subscription } from '@paystream/nats';
import { createBell, describeError, type Log, pause } from '@paystream/runtime';
import type { Apply } from './apply.ts';
import { type Pace, type Position, reschedule, schedule } from './domain/pacer.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';

export interface BacklogOptions {
  subscription: Subscription;
  apply: Apply;
  store: TransactionStore;
  log: Log;
  /** A clock that only grows, in milliseconds. */
  clock: () => number;
}

export interface BacklogState {
  /** Applied since the process began. */
  done: number;
  held: number;
}

export interface Backlog {
  /** Takes what has come and puts it on the schedule, or waits for room. */
  fillOnce(): Promise<void>;
  /** Applies what is due, or waits for what is due next. */
  playOnce(): Promise<void>;
  /** Fills and plays until `stop`. Rejects only on a programming error. */
  run(): Promise<void>;
  /** Resolves when what is being applied is settled and the rest is given back. */
  stop(): Promise<void>;
  /** Holds for what is held already, too. */
  setPace(pace: Pace): void;
  /** Stands still for a reason, beside others; with the last one gone the schedule goes on where it stood. */
  hold(reason: string): void;
  go(reason: string): void;
  /** Gives back what is held, since another instance goes on with it. */
  giveBack(): Promise<void>;
  state(): BacklogState;
}

interface Held {
  delivery: Delivery;
  storedAtMs: number;
  deliveries: number;
  dueAtMs: number;
}

// What is held comes to another process only after the ack wait if this one dies: as little as keeps the schedule.
const lookAheadMs = 2_000;
const heldMax = 500;
// Neighbours are written side by side, so that one slow sync does not make all behind it late.
const inFlightMax = 4;
const stillWorkingEveryMs = 8_000;
const databaseAway = 'the database is away';
const lookAgainMs = 250;

/** Plays a backlog: each message is applied when the pacer says that it is due, and settled like any other. */
export function createBacklog({ subscription, apply, store, log, clock }: BacklogOptions): Backlog {
  const changed = createBell();
  const stopping = new AbortController();
  const reasons = new Set<string>();
  const inFlight = new Set<Promise<void>>();
  let held: Held[] = [];
  let pace: Pace = { speed: 1, maxGapMs: 1_000 };
  let position: Position | undefined;
  let behind: Position | undefined;
  let stoodAtMs = 0;
  let failure: unknown;
  let done = 0;
  let running: Promise<unknown> | undefined;

  /** A new schedule for all that is held, from where the old one stood at `sinceMs`. */
  const restart = (sinceMs: number) => {
    const next = reschedule(held, pace, { behind, nextDueAtMs: held[0]?.dueAtMs, sinceMs, nowMs: clock() });
    held = held.map((item, index) => ({ ...item, dueAtMs: next.dueAtMs[index] ?? item.dueAtMs })).sort(byDue);
    position = next.position;
    behind = next.behind;
    changed.ring();
  };

  const add = (delivery: Delivery) => {
    const message = { storedAtMs: delivery.storedAt.getTime(), deliveries: delivery.deliveries };
    const next = schedule(position, message, { pace, nowMs: clock() });
    position = next.position;
    held.push({ delivery, ...message, dueAtMs: next.dueAtMs });
  };

  const hasRoom = () =>
    reasons.size === 0 && held.length < heldMax && (held.at(-1)?.dueAtMs ?? 0) < clock() + lookAheadMs;

  const fillOnce = async () => {
    if (!hasRoom()) return changed.next(lookAheadMs / 8);
    const deliveries = await subscription.take(heldMax - held.length);
    if (deliveries.length === 0) return changed.next(lookAheadMs / 8);
    for (const delivery of deliveries) add(delivery);
    held.sort(byDue);
    changed.ring();
  };

  const play = async (due: Held[]) => {
    try {
      await apply(
        subscription,
        due.map(({ delivery }) => delivery),
      );
      done += due.length;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      // They stay in hand and go first when the database is back: a release would let them come as a crowd.
      held = [...due, ...held].sort(byDue);
      if (reasons.has(databaseAway)) return;
      log.warn({ held: held.length, cause: describeError(error.cause) }, 'replay.stands');
      hold(databaseAway);
      untilDatabaseAnswers().catch(fail);
    }
  };

  const untilDatabaseAnswers = async () => {
    while (!stopping.signal.aborted) {
      await pause(lookAgainMs, stopping.signal);
      try {
        await store.ping();
        return go(databaseAway);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
      }
    }
  };

  const playOnce = async () => {
    if (failure !== undefined) throw failure;
    const [next] = held;
    if (reasons.size > 0 || next === undefined || inFlight.size >= inFlightMax)
      return changed.next(lookAheadMs);
    const waitMs = next.dueAtMs - clock();
    if (waitMs > 0) return changed.next(waitMs);

    const count = held.findIndex(({ dueAtMs }) => dueAtMs > clock());
    const due = held.splice(0, count === -1 ? held.length : count);
    const isFirst = behind === undefined;
    const last = due.at(-1) ?? next;
    if (behind === undefined || last.storedAtMs >= behind.storedAtMs) {
      behind = { storedAtMs: last.storedAtMs, dueAtMs: last.dueAtMs };
    }
    const playing = play(due)
      .then(() => {
        // The first one finds everything cold; the schedule begins when it is through.
        if (isFirst && reasons.size === 0) restart(last.dueAtMs);
      })
      .catch(fail)
      .finally(() => {
        inFlight.delete(playing);
        changed.ring();
      });
    inFlight.add(playing);
    changed.ring();
    if (isFirst) await playing;
  };

  const fail = (error: unknown) => {
    failure ??= error;
    changed.ring();
  };

  const hold = (reason: string) => {
    if (reasons.size === 0) stoodAtMs = clock();
    reasons.add(reason);
    subscription.pause(reason, { keepHeld: true });
    changed.ring();
  };

  const go = (reason: string) => {
    if (!reasons.delete(reason)) return;
    subscription.resume(reason);
    if (reasons.size === 0) restart(stoodAtMs);
  };

  const giveBack = async () => {
    const items = held.splice(0);
    position = undefined;
    behind = undefined;
    await Promise.all(
      items.map(({ delivery }) => subscription.settle(delivery, { kind: 'release', at: 'once' })),
    );
  };

  const untilStopped = async (step: () => Promise<void>) => {
    while (!stopping.signal.aborted) await step();
  };

  const beat = setInterval(() => {
    for (const { delivery } of held) subscription.stillWorking(delivery);
  }, stillWorkingEveryMs);
  beat.unref();

  return {
    fillOnce,
    playOnce,
    run: async () => {
      running ??= Promise.all([subscription.run(), untilStopped(fillOnce), untilStopped(playOnce)]);
      await running;
    },
    stop: async () => {
      stopping.abort();
      clearInterval(beat);
      changed.ring();
      await Promise.all([...inFlight]);
      await giveBack();
      await subscription.stop();
      await running?.catch(() => undefined);
    },
    setPace: (next) => {
      if (next.speed === pace.speed && next.maxGapMs === pace.maxGapMs) return;
      pace = next;
      if (reasons.size === 0) restart(clock());
    },
    hold,
    go,
    giveBack,
    state: () => ({ done, held: held.length }),
  };
}

const byDue = (left: Held, right: Held) => left.dueAtMs - right.dueAtMs || left.storedAtMs - right.storedAtMs;
