import type { Delivery, Subscription } from '@paystream/nats';
import { createBell, describeError, type Log, pause } from '@paystream/runtime';
import type { Pace } from './domain/pacer.ts';
import type { Applied, Apply } from './settling.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import { bytesOf, createTimetable, type Due } from './timetable.ts';

export interface BacklogOptions {
  subscription: Subscription;
  apply: Apply;
  store: Pick<TransactionStore, 'ping'>;
  log: Log;
  /** Calls back when the database is known to be away: sooner than a call to it fails. */
  onDatabaseAway?: (listener: () => void) => void;
  /** A clock that only grows, in milliseconds. */
  clock: () => number;
}

export interface BacklogState {
  /** Applied since the process began. */
  done: number;
  /** In memory, waiting for their turn. */
  held: number;
}

export interface Backlog {
  /** Takes what has come and puts it on the timetable, or waits for room. */
  fillOnce(): Promise<void>;
  /** Begins to apply what is due, or waits for what is due next. */
  playOnce(): Promise<void>;
  /** Fills and plays until `stop`. Rejects only on a programming error. */
  run(): Promise<void>;
  /** Gives back at once what waits for its turn, and resolves when what is being applied is settled. */
  stop(): Promise<void>;
  /** Holds for what is held already, too. */
  setPace(pace: Pace): void;
  /**
   * Stands still for a reason, beside others; with the last one gone the schedule goes on where it stood. What is
   * held is given back at once where another process shall have it (`keepHeld: false`).
   */
  hold(reason: string, options?: { keepHeld?: boolean }): void;
  go(reason: string): void;
  state(): BacklogState;
}

// What is held comes to another process only after the ack wait if this one dies: as little as keeps the schedule.
const lookAheadMs = 2_000;
const heldMax = 500;
// Payments that carry their webhooks can have half a megabyte each: what waits and what is being applied is bounded in bytes too,
// and so is what is applied together.
const bytesMax = 16_777_216;
const togetherBytesMax = 4_194_304;
const fillAgainMs = 250;
// Neighbours are written side by side, so that one slow sync does not make all behind it late.
const inFlightMax = 4;
// With the time that the broker's side of the subscription may need, still well within the ack wait of 30 s.
const stillWorkingEveryMs = 8_000;
const databaseAway = 'the database is away';
const ending = 'stopped';
// Grows with every failure in a row, and not only while nothing answers: a database can answer and take no write.
// Payments flow again within 5 s of the return, with what the first look after it needs.
const lookAgainMs = { first: 250, longest: 3_000 };

/** Plays a backlog: each message is applied when the pacer says that it is due, and settled like any other. */
export function createBacklog({
  subscription,
  apply,
  store,
  log,
  onDatabaseAway = () => undefined,
  clock,
}: BacklogOptions): Backlog {
  const changed = createBell();
  const stopping = new AbortController();
  const reasons = new Map<string, { keepHeld: boolean }>();
  const inFlight = new Set<Promise<void>>();
  let inFlightBytes = 0;
  let pace: Pace = { speed: 1, maxGapMs: 1_000 };
  const timetable = createTimetable(pace);
  let stoodAtMs = 0;
  let lookAgainInMs = lookAgainMs.first;
  let failure: { error: unknown } | undefined;
  let done = 0;
  let running: Promise<void> | undefined;

  const stands = () => reasons.size > 0 || stopping.signal.aborted;
  const keepsHeld = () => !stopping.signal.aborted && [...reasons.values()].every(({ keepHeld }) => keepHeld);

  const fail = (error: unknown) => {
    failure ??= { error };
    changed.ring();
  };

  const restart = (sinceMs: number) => {
    timetable.restart({ sinceMs, nowMs: clock(), pace });
    changed.ring();
  };

  const giveBack = (deliveries: readonly Delivery[]) => {
    for (const delivery of deliveries) {
      subscription.settle(delivery, { kind: 'release', at: 'once' }).catch(fail);
    }
  };

  const hasRoom = () =>
    !stands() &&
    timetable.size() < heldMax &&
    timetable.bytes() + inFlightBytes < bytesMax &&
    (timetable.lastDueAtMs() ?? Number.NEGATIVE_INFINITY) < clock() + lookAheadMs;

  const fillOnce = async () => {
    if (!hasRoom()) return changed.next(fillAgainMs);
    const deliveries = await subscription.take(heldMax - timetable.size());
    if (deliveries.length === 0) return stopping.signal.aborted ? undefined : changed.next(fillAgainMs);
    if (!keepsHeld()) return giveBack(deliveries);
    timetable.add(deliveries, clock());
    changed.ring();
  };

  const play = async (due: Due) => {
    const applied = await apply(subscription, due.deliveries).catch((error: unknown) => {
      // The process ends of it, and another one shall have them. Some may be settled already.
      fail(error);
      giveBack(due.deliveries);
      throw error;
    });
    if (applied.kind === 'away') return standStill(due, applied);
    done += due.deliveries.length;
    lookAgainInMs = lookAgainMs.first;
    // The first one finds everything cold; the schedule begins when it is through.
    if (due.isFirst && !stands()) restart(due.dueAtMs);
  };

  /** They stay in hand: a release would let them come as a crowd when the database is back. */
  const standStill = (due: Due, { left, cause }: Extract<Applied, { kind: 'away' }>) => {
    if (!keepsHeld()) return giveBack(left);
    timetable.putBack(due, left);
    awaitDatabase(describeError(cause));
  };

  const awaitDatabase = (cause: string) => {
    if (reasons.has(databaseAway) || stopping.signal.aborted) return;
    hold(databaseAway);
    // Where nothing waits for its turn, the connection's own line says enough.
    if (timetable.size() > 0) log.warn({ held: timetable.size(), cause }, 'replay.stands');
    untilDatabaseAnswers().catch(fail);
  };

  const untilDatabaseAnswers = async () => {
    while (!stopping.signal.aborted) {
      await pause(lookAgainInMs, stopping.signal);
      lookAgainInMs = Math.min(lookAgainInMs * 2, lookAgainMs.longest);
      try {
        await store.ping();
        return go(databaseAway);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
      }
    }
  };

  const playOnce = async () => {
    if (failure !== undefined) throw failure.error;
    const nextDueAtMs = timetable.nextDueAtMs();
    if (stands() || nextDueAtMs === undefined || inFlight.size >= inFlightMax)
      return changed.next(lookAheadMs);
    const waitMs = nextDueAtMs - clock();
    // A timer knows whole milliseconds, and none of weeks.
    if (waitMs > 0) return changed.next(Math.min(Math.ceil(waitMs), lookAheadMs));
    const due = timetable.takeDue(clock(), togetherBytesMax);
    if (due === undefined) return;
    const bytes = bytesOf(due.deliveries);
    inFlightBytes += bytes;
    const playing = play(due)
      .catch(fail)
      .finally(() => {
        inFlight.delete(playing);
        inFlightBytes -= bytes;
        changed.ring();
      });
    inFlight.add(playing);
    changed.ring();
    if (due.isFirst) await playing;
  };

  const sayWorking = () => {
    for (const delivery of timetable.deliveries()) subscription.stillWorking(delivery);
  };

  const hold: Backlog['hold'] = (reason, { keepHeld = true } = {}) => {
    if (reasons.has(reason)) return;
    if (reasons.size === 0) stoodAtMs = clock();
    reasons.set(reason, { keepHeld });
    // First, since what is given back while a pull is open would come straight back to us.
    subscription.pause(reason, { keepHeld });
    if (!keepHeld) giveBack(timetable.clear());
    changed.ring();
  };

  const go = (reason: string) => {
    if (!reasons.delete(reason)) return;
    subscription.resume(reason);
    if (stands()) return;
    // Where the broker was away it has heard nothing of what is held.
    sayWorking();
    restart(stoodAtMs);
  };

  const untilStopped = async (step: () => Promise<void>) => {
    while (!stopping.signal.aborted) await step();
  };

  const run = async () => {
    await Promise.all([subscription.run(), untilStopped(fillOnce), untilStopped(playOnce)]);
    if (failure !== undefined) throw failure.error;
  };

  onDatabaseAway(() => awaitDatabase('the connection says so'));
  const beat = setInterval(sayWorking, stillWorkingEveryMs);
  beat.unref();

  return {
    fillOnce,
    playOnce,
    run: () => {
      running ??= run();
      return running;
    },
    stop: async () => {
      stopping.abort();
      clearInterval(beat);
      subscription.pause(ending, { keepHeld: true });
      giveBack(timetable.clear());
      changed.ring();
      // What is behind those in turn follows them; what is being applied is settled from here all the same.
      await Promise.all([subscription.stop(), ...inFlight]);
      await running?.catch(() => undefined);
    },
    setPace: (next) => {
      if (next.speed === pace.speed && next.maxGapMs === pace.maxGapMs) return;
      pace = next;
      if (!stands()) restart(clock());
    },
    hold,
    go,
    state: () => ({ done, held: timetable.size() }),
  };
}
