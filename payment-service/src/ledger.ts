import type { Delivery, SetAside, Subscription, WorkQueueName } from '@paystream/nats';
import type { Apply } from './settling.ts';

/** What can become of a delivery. An event with an anomaly is applied. */
export const deliveryOutcomes = [
  'applied',
  'duplicate',
  'conflict',
  'unmapped',
  'dead-letter',
  /** It failed, or its dead letter found no room: it comes again. */
  'retry',
  /** It was not tried: it comes again, to us or to another instance. */
  'released',
  /** It waits in the backlog now, and is delivered from there. */
  'set-aside',
] as const;
export type DeliveryOutcome = (typeof deliveryOutcomes)[number];

export interface LedgerState {
  taken: Record<WorkQueueName, number>;
  outcomes: Record<WorkQueueName, Record<DeliveryOutcome, number>>;
  inHand: Record<WorkQueueName, number>;
  /** Taken, less those with an outcome, less those in hand. Anything but 0 is a bug: see `createLedger`. */
  balance: number;
}

type Sift = (deliveries: readonly Delivery[]) => Promise<readonly Delivery[]>;

export interface Ledger {
  /** What is taken from it is in hand; what is given back to it was released. */
  watch(subscription: Subscription, queue: WorkQueueName): Subscription;
  /** What the backlog holds was set aside. */
  watchSetAside(setAside: SetAside): SetAside;
  /** When it is done, nobody works any more on what it does not give back. */
  watchSift(sift: Sift): Sift;
  /** When it is done, nobody works any more on what is not left over. */
  watchApply(apply: Apply): Apply;
  /** What was decided about a delivery, and done. Says where it came from; undefined: it was not taken here. */
  settled(delivery: Delivery, outcome: DeliveryOutcome): WorkQueueName | undefined;
  state(): LedgerState;
}

/**
 * Counts what this process takes from the broker and what becomes of it, at different places: taken where it comes in,
 * outcomes where they are decided, and in hand is what somebody works on. So an event whose work ends without an outcome,
 * or has two, does not add up: the balance says by how many. Kept for one process: what a dead one had in hand is taken
 * again by whoever gets it next.
 */
export function createLedger(): Ledger {
  const taken = { payment: 0, backlog: 0 };
  const outcomes = { payment: noOutcomes(), backlog: noOutcomes() };
  const inHand = { payment: 0, backlog: 0 };
  const queueOf = new WeakMap<Delivery, WorkQueueName>();
  // Weak: what has been in a Set that lives long is held by its discarded tables until the next full collection.
  const atWork = new WeakSet<Delivery>();

  const leaveHand = (delivery: Delivery) => {
    const queue = queueOf.get(delivery);
    if (queue !== undefined && atWork.delete(delivery)) inHand[queue] -= 1;
  };
  const settled: Ledger['settled'] = (delivery, outcome) => {
    const queue = queueOf.get(delivery);
    if (queue === undefined) return undefined;
    outcomes[queue][outcome] += 1;
    leaveHand(delivery);
    return queue;
  };
  const workEnds = (deliveries: readonly Delivery[], left: readonly Delivery[]) => {
    if (left === deliveries) return;
    const kept = new Set(left);
    for (const delivery of deliveries) if (!kept.has(delivery)) leaveHand(delivery);
  };

  return {
    watch: (subscription, queue) => ({
      ...subscription,
      take: async (max) => {
        const deliveries = await subscription.take(max);
        taken[queue] += deliveries.length;
        inHand[queue] += deliveries.length;
        for (const delivery of deliveries) {
          queueOf.set(delivery, queue);
          atWork.add(delivery);
        }
        return deliveries;
      },
      settle: async (delivery, settlement) => {
        const said = await subscription.settle(delivery, settlement);
        if (settlement.kind === 'release') settled(delivery, 'released');
        return said;
      },
    }),
    watchSetAside: ({ setAside }) => ({
      setAside: async (deliveries) => {
        const found = await setAside(deliveries);
        for (const [index, delivery] of deliveries.entries())
          if (found[index]?.kind === 'aside') settled(delivery, 'set-aside');
        return found;
      },
    }),
    watchSift: (sift) => async (deliveries) => {
      const left = await sift(deliveries);
      workEnds(deliveries, left);
      return left;
    },
    // Where it rejects, the caller gives back all of them.
    watchApply: (apply) => async (subscription, deliveries) => {
      const applied = await apply(subscription, deliveries);
      workEnds(deliveries, applied.kind === 'away' ? applied.left : []);
      return applied;
    },
    settled,
    state: () => {
      const ended = Object.values(outcomes).flatMap((of) => Object.values(of));
      const balance = sum(Object.values(taken)) - sum(ended) - sum(Object.values(inHand));
      return { taken, outcomes, inHand: { ...inHand }, balance };
    },
  };
}

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

const noOutcomes = (): Record<DeliveryOutcome, number> => ({
  applied: 0,
  duplicate: 0,
  conflict: 0,
  unmapped: 0,
  'dead-letter': 0,
  retry: 0,
  released: 0,
  'set-aside': 0,
});
