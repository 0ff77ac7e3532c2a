import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { eventually, get, post, type System, startSystem, untilQuiet, webhook } from './harness.ts';

let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.close());

const historyOf = async (payments: Service, txId: string) =>
  (await get(payments, `/transactions/${txId}?wait=5`)).body.actionHistory;

describe('an event is applied once', () => {
  test('when it is sent again after the broker forgot its id', async () => {
    const gateway = await system.startGateway({ DUPLICATE_WINDOW: '1s' });
    const payments = await system.startPayments({ DUPLICATE_WINDOW: '1s' });
    await Promise.all([gateway.ready(), payments.ready()]);
    const body = webhook();

    await post(gateway, body);
    expect(await historyOf(payments, body.txId)).toHaveLength(1);
    const again = await eventually(() => post(gateway, body), {
      until: (answer) => answer.body.duplicate === false,
    });
    await untilQuiet(system);

    expect(again.status).toBe(200);
    expect(await historyOf(payments, body.txId)).toHaveLength(1);
    await Promise.all([gateway.stop(), payments.stop()]);
  });

  test('when the broker was restarted between the two', async () => {
    const gateway = await system.startGateway();
    const payments = await system.startPayments();
    await Promise.all([gateway.ready(), payments.ready()]);
    const body = webhook();

    await post(gateway, body);
    expect(await historyOf(payments, body.txId)).toHaveLength(1);
    await untilQuiet(system);
    await system.restartBroker();
    const again = await eventually(() => post(gateway, body), { until: ({ status }) => status === 200 });
    await untilQuiet(system);

    // The broker has forgotten the id of a consumed message: what follows is the record's doing.
    expect(again.body.duplicate).toBe(false);
    expect(await historyOf(payments, body.txId)).toHaveLength(1);
    await Promise.all([gateway.stop(), payments.stop()]);
  });

  test('when two payment-services share 2,000 events of 200 transactions, each sent twice', async () => {
    const gateway = await system.startGateway();
    const both = await Promise.all([system.startPayments(), system.startPayments()]);
    await Promise.all([gateway, ...both].map((service) => service.ready()));
    const txIds = Array.from({ length: 200 }, () => randomUUID());
    const events = Array.from({ length: 10 }, (_, round) =>
      txIds.map((txId) => webhook({ txId, action: round === 0 ? 'NEW' : 'UPDATE', amount: 100 + round })),
    ).flat();

    const statuses: number[] = [];
    for (const part of chunks([...events, ...events.toReversed()], 64)) {
      const answers = await Promise.all(part.map((body) => post(gateway, body)));
      statuses.push(...answers.map(({ status }) => status));
    }
    await untilQuiet(system);

    expect(new Set(statuses)).toEqual(new Set([200]));
    const [payments] = both;
    for (const txId of txIds) {
      const { body } = await get(payments, `/transactions/${txId}`);
      const amounts = body.actionHistory.map((entry: { amount: number }) => entry.amount).toSorted();
      expect(amounts).toEqual([100, 101, 102, 103, 104, 105, 106, 107, 108, 109]);
      expect(body.version).toBeLessThanOrEqual(10);
    }
    const shares = both.map(
      (service) => service.lines.filter((line) => line.includes('"outcome":"applied"')).length,
    );
    expect(Math.min(...shares)).toBeGreaterThan(0);
  });
});

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
