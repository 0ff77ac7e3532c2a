import { expect, test } from '@jest/globals';
import type { Delivery, Settlement, Subscription } from '@paystream/nats';
import { createApply } from './apply.ts';
import { createDecide } from './decide.ts';
import { StoreUnavailable } from './store.ts';
import { attemptsMax, deliveriesMax } from './suspects.ts';
import { collectLog } from './testing/fixture.ts';
import { createMemoryStore } from './testing/memory-store.ts';
import { createMemorySuspects } from './testing/memory-suspects.ts';
import { createMemoryWebhookStore } from './testing/memory-webhook-store.ts';

let lastSequence = 0;

function deliveryOf({ txId = 'a:tx', deliveries = deliveriesMax + 1, data = '' } = {}): Delivery {
  lastSequence += 1;
  const event = { txId, action: 'NEW', amount: 1, note: '' };
  return {
    subject: 'payments.new',
    data: new TextEncoder().encode(data || JSON.stringify(event)),
    header: () => undefined,
    headers: new Map(),
    storedAt: new Date('2026-01-01T00:00:00.000Z'),
    sequence: lastSequence,
    deliveries,
    from: 'payment',
  };
}

function start() {
  const store = createMemoryStore();
  const suspects = createMemorySuspects();
  const { log, lines } = collectLog();
  const settled: { delivery: Delivery; settlement: Settlement }[] = [];
  const subscription: Pick<Subscription, 'settle'> = {
    settle: async (delivery, settlement) => {
      settled.push({ delivery, settlement });
      return settlement.kind === 'dead-letter' ? 'dead-lettered' : 'acked';
    },
  };
  const now = () => new Date();
  const decide = createDecide({ store, webhooks: createMemoryWebhookStore(), now });
  const { apply, settleUp } = createApply({ decide, suspects, log, now });
  return {
    store,
    suspects,
    lines,
    settled,
    settleUp,
    settlements: () => settled.map(({ settlement }) => settlement.kind),
    apply: (...deliveries: Delivery[]) => apply(subscription as Subscription, deliveries),
  };
}

const away = () => Promise.reject(new StoreUnavailable('away', { cause: new Error('no primary') }));

test('a message that was handed out often is applied like any other, and leaves no marker', async () => {
  const { apply, store, suspects, settlements } = start();

  expect(await apply(deliveryOf())).toEqual({ kind: 'settled' });

  expect(settlements()).toEqual(['ack']);
  expect(store.records.get('a:tx')?.actionHistory).toHaveLength(1);
  expect(suspects.attempts.size).toBe(0);
});

test('only a message beyond the limit is marked', async () => {
  const { apply, suspects } = start();
  const marked: string[] = [];
  const { mark } = suspects;
  suspects.mark = (message, attempt) => {
    marked.push(message);
    return mark(message, attempt);
  };

  await apply(deliveryOf({ txId: 'a:1', deliveries: deliveriesMax }));
  const suspect = deliveryOf({ txId: 'a:2', deliveries: deliveriesMax + 1 });
  await apply(suspect);

  expect(marked).toEqual([expect.stringContaining(`.${suspect.sequence}.`)]);
});

test('a bug that one message brings out ends as a dead letter with both errors, and holds up nobody', async () => {
  const { apply, store, suspects, lines, settled } = start();
  const bad = deliveryOf({ txId: 'a:bad' });
  let times = 0;
  store.records.set('a:bad', {
    txId: 'a:bad',
    version: 1,
    conflicts: [],
    get actionHistory(): never {
      times += 1;
      throw new TypeError(`cannot fold, time ${times}`);
    },
  });

  for (let round = 1; round <= attemptsMax + 1; round += 1) {
    await apply(deliveryOf({ txId: `a:good-${round}`, deliveries: 1 }), bad);
    expect(store.records.has(`a:good-${round}`)).toBe(true);
  }

  const ofBad = settled.filter(({ delivery }) => delivery === bad).map(({ settlement }) => settlement);
  expect(ofBad.map(({ kind }) => kind)).toEqual(['retry', 'retry', 'retry', 'dead-letter']);
  expect(ofBad.at(-1)).toMatchObject({
    reason: 'tried-in-vain',
    firstError: 'cannot fold, time 1',
    lastError: 'cannot fold, time 3',
  });
  const told = lines.filter((line) => line.outcome === 'retry');
  expect(told).toHaveLength(attemptsMax);
  for (const line of told) {
    expect(line).toMatchObject({ level: 50, alone: true, err: { stack: expect.stringContaining('at ') } });
  }
  expect(suspects.attempts.size).toBe(0);
});

test('an error while it is read is one of this message too', async () => {
  const { apply, settlements } = start();
  const bad = deliveryOf();
  bad.header = () => {
    throw new Error('cannot be read');
  };

  await apply(bad).catch(() => undefined);

  expect(settlements()).toEqual(['retry']);
});

test('a message that ended the process three times is put aside without another try', async () => {
  const { apply, store, suspects, settled } = start();
  const bad = deliveryOf();
  for (const id of ['1', '2', '3']) {
    await suspects.mark(`payment.${bad.sequence}.${bad.storedAt.getTime()}`, { id, at: new Date() });
  }

  await apply(bad);

  const withoutWord = 'the process ended while it held this message alone';
  expect(settled[0]?.settlement).toMatchObject({
    kind: 'dead-letter',
    reason: 'tried-in-vain',
    firstError: withoutWord,
    lastError: withoutWord,
  });
  expect(store.calls).toEqual({ reads: 0, writes: 0 });
});

test('an outage of the database uses up no attempt, however often it comes', async () => {
  const { apply, store, suspects, settlements, settleUp } = start();
  const unlucky = deliveryOf();
  const behind = deliveryOf();

  for (let outage = 0; outage < 2 * attemptsMax; outage += 1) {
    store.next.readRecords.push(away);
    expect(await apply(unlucky, behind)).toMatchObject({ kind: 'away', left: [unlucky, behind] });
  }
  await settleUp();

  expect([...suspects.attempts.values()].flat()).toEqual([]);
  expect(settlements()).toEqual([]);
});

test('a marker that an outage lets nobody know of does not count either', async () => {
  const { apply, suspects, settlements } = start();
  const unlucky = deliveryOf();
  const { mark } = suspects;
  for (let outage = 0; outage < attemptsMax; outage += 1) {
    suspects.mark = async (...args) => {
      await mark(...args);
      return away();
    };
    expect(await apply(unlucky)).toMatchObject({ kind: 'away', left: [unlucky] });
  }

  suspects.mark = mark;
  await apply(unlucky);

  expect(settlements()).toEqual(['ack']);
});

test('what was settled before an outage is not left over', async () => {
  const { apply, suspects } = start();
  const [first, second] = [deliveryOf({ txId: 'a:1' }), deliveryOf({ txId: 'a:2' })];
  const { mark } = suspects;
  suspects.mark = (message, attempt) =>
    message.includes(`.${second.sequence}.`) ? away() : mark(message, attempt);

  expect(await apply(first, second)).toMatchObject({ kind: 'away', left: [second] });
});

test('never are two tried at the same time, whoever asks', async () => {
  const { apply, store, suspects } = start();
  let most = 0;
  store.beforeStep = async () => {
    most = Math.max(most, suspects.attempts.size);
    await new Promise((resolve) => setImmediate(resolve));
  };

  await Promise.all(
    ['a:1', 'a:2', 'a:3', 'a:4'].map((txId) => apply(deliveryOf({ txId }), deliveryOf({ txId }))),
  );

  expect(most).toBe(1);
});

test('live messages wait for suspects no longer than a second; the others come again', async () => {
  const { apply, store, settlements } = start();
  let slow = true;
  store.beforeStep = async () => {
    const until = performance.now() + 1_100;
    while (slow && performance.now() < until);
    slow = false;
  };

  await apply(deliveryOf({ txId: 'a:1' }), deliveryOf({ txId: 'a:2' }), deliveryOf({ txId: 'a:3' }));

  expect(settlements()).toEqual(['ack', 'release', 'release']);
});
