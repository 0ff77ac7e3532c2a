import type { Delivery, Settled, Subscription } from '@paystream/nats';
import { describeError } from '@paystream/runtime';
import type { Decide } from './decide.ts';
import { type Applied, type Apply, noOutcome, type Outcome, type Settling } from './settling.ts';
import { StoreUnavailable } from './store.ts';
import type { SuspectStore } from './suspects.ts';
import { createTrials } from './trials.ts';

export interface ApplyAloneOptions {
  decide: Decide;
  settle: (subscription: Subscription, settling: Settling) => Promise<Settled>;
  suspects: SuspectStore;
  now: () => Date;
}

// Live payments wait behind suspects for no longer than this; what is left of them comes again a second later.
const aloneForMs = 1_000;

/**
 * Applies messages that were handed out too often one at a time, each after a marker is written: so the one that kills
 * the process, or fails whatever is done, is known by its markers and put aside, and those that were in hand with it are not.
 */
export function createApplyAlone({ decide, settle, suspects, now }: ApplyAloneOptions): {
  apply: Apply;
  settleUp: () => Promise<void>;
} {
  const trials = createTrials({ store: suspects, now });
  let turn: Promise<unknown> = Promise.resolve();

  const applyOne = async (subscription: Subscription, delivery: Delivery) => {
    const trial = await trials.begin(delivery);
    if (trial.kind === 'in-vain') {
      const outcome: Outcome = { ...trial, kind: 'dead-letter', reason: 'tried-in-vain' };
      const settled = await settle(subscription, { delivery, event: undefined, outcome });
      if (settled === 'dead-lettered') await trials.end(trial, { kind: 'outcome' });
      return;
    }
    const settling = await decideAlone(decide, delivery).catch(async (error: unknown) => {
      await trials.end(trial, { kind: 'outage' });
      throw error;
    });
    await settle(subscription, settling);
    const { outcome } = settling;
    const isFailure = outcome.kind === 'retry';
    await trials.end(trial, isFailure ? { kind: 'failed', error: outcome.detail } : { kind: 'outcome' });
  };

  const applyEach: Apply = async (subscription, deliveries) => {
    const beganAt = performance.now();
    for (const [index, delivery] of deliveries.entries()) {
      if (performance.now() - beganAt > aloneForMs) {
        await subscription.settle(delivery, { kind: 'release' });
        continue;
      }
      try {
        await applyOne(subscription, delivery);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        return { kind: 'away', left: deliveries.slice(index), cause: error.cause };
      }
    }
    return { kind: 'settled' };
  };

  return {
    // One after the other in the whole process: of two in hand at its death, both would bear a marker.
    apply: async (subscription, deliveries): Promise<Applied> => {
      if (deliveries.length === 0) return { kind: 'settled' };
      const applied = turn.then(() => applyEach(subscription, deliveries));
      turn = applied.catch(() => undefined);
      return applied;
    },
    settleUp: () =>
      trials.takeBack().catch((error: unknown) => {
        // It is away again; the next trial begins with it.
        if (!(error instanceof StoreUnavailable)) throw error;
      }),
  };
}

/** A bug that this message brings out is a failure of this message: it is told with its stack, and stops nobody else. */
async function decideAlone(decide: Decide, delivery: Delivery): Promise<Settling> {
  try {
    const [settling] = await decide([delivery]);
    return settling ?? { delivery, outcome: noOutcome, event: undefined };
  } catch (error) {
    if (error instanceof StoreUnavailable) throw error;
    return { delivery, outcome: { kind: 'retry', detail: describeError(error), error }, event: undefined };
  }
}
