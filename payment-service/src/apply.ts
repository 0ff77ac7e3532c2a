import type { Settled, Subscription } from '@paystream/nats';
import type { Log } from '@paystream/runtime';
import { createApplyAlone } from './apply-alone.ts';
import type { Decide } from './decide.ts';
import { type Apply, levelOf, lineOf, type Settling, settlementOf } from './settling.ts';
import { StoreUnavailable } from './store.ts';
import { isSuspect, type SuspectStore } from './suspects.ts';

export interface ApplyOptions {
  decide: Decide;
  suspects: SuspectStore;
  log: Log;
  now: () => Date;
  /** Hears what was decided about a delivery, and what the broker was told of it. */
  onSettled?: (settling: Settling, settled: Settled) => void;
}

/**
 * What both ways into the record do with messages: the live one and the replay. `settleUp` is for when the database
 * answers again.
 */
export function createApply({ decide, suspects, log, now, onSettled = () => undefined }: ApplyOptions): {
  apply: Apply;
  settleUp: () => Promise<void>;
} {
  const settle = async (subscription: Subscription, settling: Settling) => {
    const settled = await subscription.settle(settling.delivery, settlementOf(settling.outcome));
    log[levelOf(settling.outcome)](lineOf(settling, settled, now()), 'message.settled');
    onSettled(settling, settled);
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
