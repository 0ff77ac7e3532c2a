import { describe, expect, test } from '@jest/globals';
import type { SetAsideOutcome } from '@paystream/nats';
import { createRegistry } from '@paystream/runtime';
import { createApply } from './apply.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createApplyMetrics } from './metrics.ts';
import type { Applied, Apply, Outcome } from './settling.ts';
import { collectLog } from './testing/fixture.ts';
import { createMemorySuspects } from './testing/memory-suspects.ts';
import { createFakeQueue, deliveriesAt } from './testing/replaying.ts';

/** A ledger over a queue that holds messages of these times. */
function ledgerOver(...storedAtMs: number[]) {
  const ledger = createLedger();
  const queue = createFakeQueue();
  queue.put(...deliveriesAt(...storedAtMs));
  return { ledger, subscription: ledger.watch(queue, 'payment') };
}

const applyAll =
  (ledger: Ledger): Apply =>
  async (subscription, deliveries): Promise<Applied> => {
    for (const delivery of deliveries) {
      await subscription.settle(delivery, { kind: 'ack' });
      ledger.settled(delivery, 'applied');
    }
    return { kind: 'settled' };
  };

describe('the ledger', () => {
  test('has what is taken in hand until it has an outcome, and balances at every step', async () => {
    const { ledger, subscription } = ledgerOver(1, 2, 3);

    const deliveries = await subscription.take(10);
    const between = ledger.state();
    await ledger.watchApply(applyAll(ledger))(subscription, deliveries);

    expect([between.taken.payment, between.inHand.payment, between.balance]).toEqual([3, 3, 0]);
    expect(ledger.state()).toMatchObject({
      taken: { payment: 3, backlog: 0 },
      outcomes: { payment: { applied: 3 } },
      inHand: { payment: 0, backlog: 0 },
      balance: 0,
    });
  });

  test('is above 0 by those that were dropped without an outcome', async () => {
    const { ledger, subscription } = ledgerOver(1, 2, 3);
    const losing: Apply = (queue, deliveries) => applyAll(ledger)(queue, deliveries.slice(1));

    await ledger.watchApply(losing)(subscription, await subscription.take(10));

    expect(ledger.state().balance).toBe(1);
  });

  test('is below 0 by those that had two outcomes', async () => {
    const { ledger, subscription } = ledgerOver(1);
    const [delivery] = await subscription.take(1);
    if (delivery === undefined) throw new Error('nothing was taken');

    ledger.settled(delivery, 'applied');
    ledger.settled(delivery, 'duplicate');

    expect(ledger.state().balance).toBe(-1);
  });

  test('is above 0 when an event is acknowledged that nobody has decided about', async () => {
    const { ledger, subscription } = ledgerOver(1);
    const acking: Apply = async (queue, deliveries) => {
      for (const delivery of deliveries) await queue.settle(delivery, { kind: 'ack' });
      return { kind: 'settled' };
    };

    await ledger.watchApply(acking)(subscription, await subscription.take(1));

    expect(ledger.state().balance).toBe(1);
  });

  test('keeps in hand what an outage leaves over, until it is given back', async () => {
    const { ledger, subscription } = ledgerOver(1, 2);
    const deliveries = await subscription.take(10);
    const cutOff: Apply = async () => ({ kind: 'away', left: deliveries, cause: undefined });

    await ledger.watchApply(cutOff)(subscription, deliveries);
    const left = ledger.state();
    for (const delivery of deliveries) await subscription.settle(delivery, { kind: 'release' });

    expect([left.inHand.payment, left.balance]).toEqual([2, 0]);
    expect(ledger.state()).toMatchObject({
      outcomes: { payment: { released: 2 } },
      inHand: { payment: 0 },
      balance: 0,
    });
  });

  test('counts what is set aside, and is above 0 by what a sift drops', async () => {
    const { ledger, subscription } = ledgerOver(1, 2, 3);
    const found: SetAsideOutcome[] = [{ kind: 'aside' }, { kind: 'unknown', detail: 'a test' }];
    const setAside = ledger.watchSetAside({ setAside: async () => found });
    const sift = ledger.watchSift(async (deliveries) => {
      await setAside.setAside(deliveries.slice(0, 2));
      // The second one is neither set aside nor given back.
      return deliveries.slice(2);
    });

    const left = await sift(await subscription.take(10));

    expect(left).toHaveLength(1);
    expect(ledger.state()).toMatchObject({
      outcomes: { payment: { 'set-aside': 1 } },
      inHand: { payment: 1 },
      balance: 1,
    });
  });

  test('counts nothing of what did not come through it, such as a dead letter that is redriven', () => {
    const ledger = createLedger();

    for (const delivery of deliveriesAt(1)) ledger.settled(delivery, 'applied');

    expect(ledger.state().balance).toBe(0);
    expect(ledger.state().outcomes.payment.applied).toBe(0);
  });
});

describe('/metrics, where the parts are put together as the service does', () => {
  /** The balance and the outcomes after a batch of three, of which this is decided. */
  async function applyThree(outcomes: readonly Outcome[]) {
    const { ledger, subscription } = ledgerOver(1, 2, 3);
    const registry = createRegistry(() => ({ ready: true, parts: {} }));
    const now = () => new Date();
    const metrics = createApplyMetrics({ registry, ledger, now });
    const applying = createApply({
      decide: async (deliveries) =>
        deliveries.flatMap((delivery, index) => {
          const outcome = outcomes[index];
          return outcome === undefined ? [] : [{ delivery, outcome, event: undefined }];
        }),
      suspects: createMemorySuspects(),
      log: collectLog().log,
      now,
      onSettled: metrics.settled,
    });
    const apply = ledger.watchApply(metrics.watchApply(applying.apply));
    await apply(subscription, await subscription.take(10));
    const lines = (await registry.metrics()).split('\n');
    return {
      balance: lines.find((line) => line.startsWith('paystream_deliveries_balance ')),
      counted: lines.filter((line) => /^paystream_deliveries_total.* [1-9]/.test(line)),
    };
  }

  test('is 0 when each has its outcome', async () => {
    const { balance, counted } = await applyThree([
      { kind: 'applied' },
      { kind: 'duplicate' },
      { kind: 'retry', detail: 'a test' },
    ]);

    expect(balance).toBe('paystream_deliveries_balance 0');
    expect(counted).toEqual(
      ['applied', 'duplicate', 'retry'].map(
        (outcome) => `paystream_deliveries_total{queue="payment",outcome="${outcome}"} 1`,
      ),
    );
  });

  test('is 1 when one falls out of its batch', async () => {
    const { balance } = await applyThree([{ kind: 'applied' }, { kind: 'applied' }]);

    expect(balance).toBe('paystream_deliveries_balance 1');
  });

  test('counts a dead letter that found no room as a retry', async () => {
    // This queue says `retry-later` of whatever is not acknowledged.
    const unreadable = { kind: 'unreadable', reason: 'not-json', detail: 'a test' } as const;

    const { balance, counted } = await applyThree([unreadable, unreadable, unreadable]);

    expect(balance).toBe('paystream_deliveries_balance 0');
    expect(counted).toEqual(['paystream_deliveries_total{queue="payment",outcome="retry"} 3']);
  });
});
