import type { Delivery, Subscription } from '@paystream/nats';
import { describeError, type Log, type PartState, pause } from '@paystream/runtime';
import type { Applied, Apply } from './settling.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';

export interface ConsumerOptions {
  subscription: Subscription;
  apply: Apply;
  store: TransactionStore;
  log: Log;
  /** Puts the messages of a backlog aside and gives back those to be applied now. */
  sift?: (deliveries: readonly Delivery[]) => Promise<readonly Delivery[]>;
  /** Calls back when the database is known to be away: sooner than a call to it fails. */
  onDatabaseAway?: (listener: () => void) => void;
  /** The database answers again; called before anything is pulled. */
  onReturn?: () => void;
  /** Messages in one batch; more gains little, and each waits for the slowest of its batch. */
  batchMax?: number;
  /** While the database works on one, the next is read and decided; a third would wait for the same processor. */
  inFlightMax?: number;
}

export interface Consumer {
  /** Takes one batch, applies it and settles every message of it. Returns how many there were. */
  consumeOnce(): Promise<number>;
  /** Consumes until `stop`. Rejects only on a programming error. */
  run(): Promise<void>;
  /** Takes nothing more and resolves when what is in hand is settled. */
  stop(): Promise<void>;
  state(): PartState;
}

const away = 'the database is away';
// What was given back comes again by then: pulled earlier, what is behind it would come first, and a backlog would be
// set aside in that order.
const backAgainMs = 1_200;
// Payments flow again within 5 s of the return, with what the first look after it needs.
const lookAgainMs = { first: 250, longest: 3_000 };

/** Pulls messages, applies each exactly once, and acknowledges what is known to be in the database. */
export function createConsumer({
  subscription,
  apply,
  store,
  log,
  sift = async (deliveries) => deliveries,
  onDatabaseAway = () => undefined,
  onReturn = () => undefined,
  batchMax = 500,
  inFlightMax = 2,
}: ConsumerOptions): Consumer {
  const stopping = new AbortController();
  const inFlight = new Set<Promise<unknown>>();
  const { failed, fail } = createFailure();
  let consuming: Promise<void> | undefined;
  let databaseAway = false;
  let releasedAtMs = 0;
  // Grows with every failure in a row, and not only while nothing answers: a database can answer and take no write.
  let lookAgainInMs = lookAgainMs.first;

  /** What is there, at most a batch: the longer the batches before took, the more. */
  const takeBatch = async () => {
    const deliveries = await subscription.take(batchMax);
    return { deliveries, due: await sift(deliveries) };
  };

  /** False when the database is away: then what is left of them is given back. */
  const applyBatch = async (due: readonly Delivery[]): Promise<boolean> => {
    const applied = await apply(subscription, due).catch(async (error: unknown) => {
      // The process ends of it, and another one shall have them. Some may be settled already.
      await Promise.allSettled(due.map((delivery) => release(delivery, 'once')));
      throw error;
    });
    if (applied.kind === 'away') {
      await standStill(applied);
      return false;
    }
    if (due.length > 0) lookAgainInMs = lookAgainMs.first;
    return true;
  };

  const consumeOnce = async () => {
    const { deliveries, due } = await takeBatch();
    return (await applyBatch(due)) ? deliveries.length : 0;
  };

  const release = (delivery: Delivery, at: 'soon' | 'once') =>
    subscription.settle(delivery, { kind: 'release', at });

  const stopPulling = () => {
    releasedAtMs = performance.now();
    subscription.pause(away);
    if (databaseAway || stopping.signal.aborted) return;
    databaseAway = true;
    untilDatabaseAnswers().catch(end);
  };
  onDatabaseAway(stopPulling);

  /** A programming error is heard of at once, and not when the next message comes; nothing more is applied. */
  const end = (error: unknown) => {
    stopping.abort();
    fail(error);
  };

  const standStill = async ({ left, cause }: Extract<Applied, { kind: 'away' }>) => {
    await Promise.all(left.map((delivery) => release(delivery, 'soon')));
    stopPulling();
    log.warn({ count: left.length, cause: describeError(cause) }, 'messages.released');
  };

  const launch = (due: readonly Delivery[]) => {
    const applying: Promise<unknown> = applyBatch(due)
      .catch(end)
      .finally(() => inFlight.delete(applying));
    inFlight.add(applying);
  };

  const consume = async () => {
    try {
      while (!stopping.signal.aborted) {
        const { due } = await takeBatch();
        if (due.length > 0) launch(due);
        if (inFlight.size >= inFlightMax) await Promise.race(inFlight);
        await subscription.whenResumed();
      }
    } finally {
      await Promise.all(inFlight);
    }
  };

  const untilDatabaseAnswers = async () => {
    while (databaseAway && !stopping.signal.aborted) {
      await pause(lookAgainInMs, stopping.signal);
      lookAgainInMs = Math.min(lookAgainInMs * 2, lookAgainMs.longest);
      try {
        await store.ping();
        // What they have yet to give back comes first.
        await Promise.all(inFlight);
        await pause(releasedAtMs + backAgainMs - performance.now(), stopping.signal);
        databaseAway = false;
        onReturn();
        subscription.resume(away);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
      }
    }
  };

  return {
    consumeOnce,
    run: () => {
      consuming ??= consume().catch(end);
      return Promise.race([failed, consuming]);
    },
    stop: async () => {
      stopping.abort();
      await Promise.all([subscription.stop(), consuming]);
    },
    state: () => {
      const { pulling, detail } = subscription.state();
      return { ok: pulling, detail };
    },
  };
}

/** A failure that is still to come: `failed` rejects with the first one. */
function createFailure(): { failed: Promise<never>; fail: (error: unknown) => void } {
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  // It counts when somebody waits for it.
  failed.catch(() => undefined);
  return { failed, fail };
}
