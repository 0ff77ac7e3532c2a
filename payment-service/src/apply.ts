import type { Delivery, Subscription } from '@paystream/nats';
import { type Log, type PassPoint, passBy } from '@paystream/runtime';
import { createApplyAlone } from './apply-alone.ts';
import { recordEvents } from './record-events.ts';
import {
  type Apply,
  levelOf,
  lineOf,
  noOutcome,
  readDelivery,
  type Settling,
  settlementOf,
} from './settling.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import { isSuspect, type SuspectStore } from './suspects.ts';

export interface ApplyOptions {
  store: TransactionStore;
  suspects: SuspectStore;
  log: Log;
  now: () => Date;
  pass?: PassPoint;
}

/**
 * What both ways into the record do with messages: the live one and the replay. `settleUp` is for when the database
 * answers again.
 */
export function createApply({ store, suspects, log, now, pass = passBy }: ApplyOptions): {
  apply: Apply;
  settleUp: () => Promise<void>;
} {
  const record = {
    ...store,
    writeChanges: (...args: Parameters<TransactionStore['writeChanges']>) => {
      pass('before-write');
      return store.writeChanges(...args);
    },
  };

  const decide = async (deliveries: readonly Delivery[]): Promise<Settling[]> => {
    const inHand = deliveries.map(readDelivery);
    const readable = inHand.filter((item) => item.kind === 'event');
    const outcomes = await recordEvents(
      { store: record, now },
      readable.map(({ event }) => event),
    );
    if (readable.length > 0) pass('after-write-before-ack');
    return [
      ...readable.map(({ delivery, event }, index) => ({
        delivery,
        event,
        outcome: outcomes[index] ?? noOutcome,
      })),
      ...inHand
        .filter((item) => item.kind === 'unreadable')
        .map((item) => ({ delivery: item.delivery, outcome: item, event: undefined })),
    ];
  };

  const settle = async (subscription: Subscription, settling: Settling) => {
    const settled = await subscription.settle(settling.delivery, settlementOf(settling.outcome));
    log[levelOf(settling.outcome)](lineOf(settling, settled, now()), 'message.settled');
    return settled;
  };
  const alone = createApplyAlone({ decide, settle, suspects, now });

  const apply: Apply = async (subscription, deliveries) => {
    try {
      const settlings = await decide(deliveries.filter((delivery) => !isSuspect(delivery)));
      await Promise.all(settlings.map((settling) => settle(subscription, settling)));
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      return { kind: 'away', left: deliveries, cause: error.cause };
    }
    return alone.apply(subscription, deliveries.filter(isSuspect));
  };
  return { apply, settleUp: alone.settleUp };
}
