import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { eventually, get, post, type System, startSystem, twice, untilQuiet, webhook } from './harness.ts';

let system: System;
let gateway: Service;
let payments: Service;

beforeAll(async () => {
  system = await startSystem();
  gateway = await system.startGateway();
  payments = await system.startPayments();
  await Promise.all([gateway.ready(), payments.ready()]);
});
afterAll(() => system.close());

/** The transaction once its history has this many events. */
const untilApplied = async (txId: string, events: number) => {
  const answer = await eventually(() => get(payments, `/transactions/${txId}`), {
    until: ({ body }) => body.actionHistory?.length >= events,
  });
  return answer.body;
};

describe('a webhook', () => {
  test('becomes a transaction that can be read back', async () => {
    const body = webhook();

    const [first, second] = await twice(() => post(gateway, body));
    const read = await get(payments, `/transactions/${body.txId.toUpperCase()}?wait=5`);

    expect([first.status, first.body.duplicate]).toEqual([200, false]);
    expect([second.status, second.body.duplicate]).toEqual([200, true]);
    expect(read.body).toMatchObject({
      txId: body.txId,
      status: 'new',
      amount: 1_250,
      hasNew: true,
      anomalies: [],
    });
    expect(read.body.actionHistory).toHaveLength(1);
  });

  test('is applied once when 50 equal ones come at the same time', async () => {
    const body = webhook();

    const answers = await Promise.all(Array.from({ length: 50 }, () => post(gateway, body)));
    await untilQuiet(system);

    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(answers.filter((answer) => answer.body.duplicate === false)).toHaveLength(1);
    expect((await untilApplied(body.txId, 1)).actionHistory).toHaveLength(1);
  });

  test('tells the whole story of a transaction', async () => {
    const { txId } = webhook();
    const send = async (action: string, amount: number, note: string) => {
      const [first, second] = await twice(() => post(gateway, { txId, action, amount, note }));
      expect([first.status, second.status, second.body.duplicate]).toEqual([200, 200, true]);
      return first.body.duplicate;
    };

    const duplicates = [
      await send('NEW', 1_000, 'order'),
      await send('DRAFT', 1_000, 'cart'),
      await send('UPDATE', 1_100, 'shipping added'),
      await send('UPDATE', 1_200, 'gift wrap added'),
      await send('APPROVED', 1_200, 'paid'),
      await send('DRAFT', 1, 'too late'),
    ];
    const transaction = await untilApplied(txId, 6);

    expect(duplicates).toEqual(Array(6).fill(false));
    expect(transaction).toMatchObject({
      status: 'approved',
      action: 'APPROVED',
      amount: 1_200,
      note: 'paid',
      amounts: { authorized: 1_200, captured: 1_200, refunded: 0, disputed: 0 },
      anomalies: [{ n: 6, code: 'after-approved' }],
      conflicts: [],
    });
    expect(transaction.actionHistory.map((entry: { action: string }) => entry.action)).toEqual(
      'NEW DRAFT UPDATE UPDATE APPROVED DRAFT'.split(' '),
    );
  });
});

describe('order', () => {
  test('does not matter: an UPDATE before its NEW is recorded at once, and NEW comes first in the end', async () => {
    const { txId } = webhook();

    await post(gateway, webhook({ txId, action: 'UPDATE', amount: 700 }));
    const early = await untilApplied(txId, 1);
    await post(gateway, webhook({ txId, action: 'NEW', amount: 500 }));
    const late = await untilApplied(txId, 2);

    expect([early.status, early.hasNew]).toEqual(['updated', false]);
    expect([late.status, late.hasNew, late.amount]).toEqual(['updated', true, 700]);
    expect(late.actionHistory.map((entry: { n: number }) => entry.n)).toEqual([2, 1]);
  });
});

describe('identity', () => {
  const updates = async (headers: (index: number) => Record<string, string>) => {
    const { txId } = webhook();
    for (const [index, amount] of [100, 250, 100].entries()) {
      await post(gateway, webhook({ txId, action: 'UPDATE', amount }), { headers: headers(index) });
    }
    await untilQuiet(system);
    return untilApplied(txId, 2);
  };

  test('of an update is its content: 100, 250, 100 are two events', async () => {
    expect((await updates(() => ({}))).actionHistory).toHaveLength(2);
  });

  test('of an update is its webhook-id where it has one: 100, 250, 100 are three events', async () => {
    const transaction = await updates((index) => ({ 'webhook-id': `update-${index}` }));

    expect(transaction.actionHistory).toHaveLength(3);
    expect(transaction.amount).toBe(100);
  });

  test('with another content is a conflict: kept, without effect', async () => {
    const { txId } = webhook();
    const headers = { 'webhook-id': 'one-and-the-same' };

    await post(gateway, webhook({ txId, amount: 100 }), { headers });
    await untilApplied(txId, 1);
    await post(gateway, webhook({ txId, amount: 999 }), { headers });
    const { body } = await eventually(() => get(payments, `/transactions/${txId}`), {
      until: (answer) => answer.body.conflicts.length > 0,
    });

    expect(body.amount).toBe(100);
    expect(body.actionHistory).toHaveLength(1);
    expect(body.conflicts).toMatchObject([{ eventId: 'one-and-the-same', amount: 999 }]);
  });
});

describe('a message published by hand', () => {
  test('is applied with the source nats and its fingerprint as identity', async () => {
    const { txId } = webhook();
    const js = (await system.nats()).jetstream();

    await js.publish('payments.new', JSON.stringify({ txId, action: 'NEW', amount: 100, note: 'by hand' }));
    const transaction = await untilApplied(txId, 1);

    const [entry] = transaction.actionHistory;
    expect(transaction).toMatchObject({ source: 'nats', status: 'new', amount: 100, note: 'by hand' });
    expect(entry.eventId).toBe(entry.fingerprint);
  });

  test('that nobody can read is a dead letter with the reason, and the good one behind it is applied', async () => {
    const connection = await system.nats();
    const js = connection.jetstream();
    const manager = await connection.jetstreamManager();
    const { txId } = webhook();

    await js.publish('payments.new', '{not json');
    await js.publish('payments.new', new Uint8Array([0xff, 0xfe]));
    await js.publish('payments.new', JSON.stringify({ txId, action: 'NEW', amount: -1, note: '' }));
    await js.publish('payments.draft', JSON.stringify({ txId, action: 'NEW', amount: 1, note: '' }));
    await js.publish('payments.new', JSON.stringify({ txId, action: 'NEW', amount: 1, note: 'good' }));
    const transaction = await untilApplied(txId, 1);
    await untilQuiet(system);

    const reasons: string[] = [];
    const { state } = await manager.streams.info('payment-dead-letters');
    for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
      const letter = await manager.streams.getMessage('payment-dead-letters', { seq });
      reasons.push(letter.header.get('Paystream-Reason'));
    }
    expect(transaction.note).toBe('good');
    expect(reasons.sort()).toEqual(['not-an-event', 'not-json', 'not-utf8', 'subject-mismatch']);
  });
});
