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
  /** The database answers again; called before anything is pulled. */
  onReturn?: () => void;
  /** Messages in one batch; more gains little, and each waits for the slowest of its batch. */
  batchMax?: number;
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
const lookAgainMs = { first: 250, longest: 5_000 };

/** Pulls messages, applies each exactly once, and acknowledges what is known to be in the database. */
export function createConsumer({
  subscription,
  apply,
  store,
  log,
  sift = async (deliveries) => deliveries,
  onReturn = () => undefined,
  batchMax = 500,
}: ConsumerOptions): Consumer {
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let databaseAway = false;
  let releasedAtMs = 0;
  // Grows with every failure in a row, and not only while nothing answers: a database can answer and take no write.
  let lookAgainInMs = lookAgainMs.first;

  const consumeOnce = async () => {
    const deliveries = await subscription.take(batchMax);
    const due = await sift(deliveries);
    const applied = await apply(subscription, due).catch(async (error: unknown) => {
      // The process ends of it, and another one shall have them. Some may be settled already.
      await Promise.allSettled(due.map((delivery) => release(delivery, 'once')));
      throw error;
    });
    if (applied.kind === 'away') {
      await standStill(applied);
      return 0;
    }
    if (due.length > 0) lookAgainInMs = lookAgainMs.first;
    return deliveries.length;
  };

  const release = (delivery: Delivery, at: 'soon' | 'once') =>
    subscription.settle(delivery, { kind: 'release', at });

  const standStill = async ({ left, cause }: Extract<Applied, { kind: 'away' }>) => {
    await Promise.all(left.map((delivery) => release(delivery, 'soon')));
    databaseAway = true;
    releasedAtMs = performance.now();
    subscription.pause(away);
    log.warn({ count: left.length, cause: describeError(cause) }, 'messages.released');
  };

  const run = async () => {
    while (!stopping.signal.aborted) {
      await consumeOnce();
      if (databaseAway) await untilDatabaseAnswers();
      // Somebody else may have paused it as well.
      await subscription.whenResumed();
    }
  };

  const untilDatabaseAnswers = async () => {
    while (databaseAway && !stopping.signal.aborted) {
      await pause(lookAgainInMs, stopping.signal);
      lookAgainInMs = Math.min(lookAgainInMs * 2, lookAgainMs.longest);
      try {
        await store.ping();
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
      running ??= run();
      return running;
    },
    stop: async () => {
      stopping.abort();
      await Promise.all([subscription.stop(), running?.catch(() => undefined)]);
    },
    state: () => {
      const { pulling, detail } = subscription.state();
      return { ok: pulling, detail };
    },
  };
}
