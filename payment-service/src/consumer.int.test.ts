import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually, testMongoUri } from '../../test/harness.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import {
  sentEvent,
  startConsumer,
  startTestBroker,
  type TestBroker,
  type TestConsumer,
} from './testing/consuming.ts';
import { openStore } from './testing/fixture.ts';

let broker: TestBroker;
let store: TransactionStore;
let running: TestConsumer[] = [];

beforeAll(async () => {
  [broker, store] = await Promise.all([startTestBroker(), openStore(testMongoUri())]);
});
afterEach(async () => {
  await Promise.all(running.map((one) => one.stop()));
  running = [];
});
afterAll(async () => {
  await store.close();
  await broker.close();
});

const start = (options: Partial<Parameters<typeof startConsumer>[1]> = {}) => {
  const started = startConsumer(broker, { store, ...options });
  running.push(started);
  return started;
};
const untilEmpty = (within = 20_000) =>
  eventually(broker.left, { within, until: ({ messages }) => messages === 0 });
const lineOf = ({ lines }: TestConsumer, txId: string) =>
  lines.filter((line) => line.msg === 'message.settled' && line.txId === txId);

describe('a backlog', () => {
  test('of 5,000 messages is applied with few calls of the database', async () => {
    const events = Array.from({ length: 5_000 }, (_, index) =>
      sentEvent({
        txId: `backlog:${index % 1_000}`,
        action: index < 1_000 ? 'NEW' : 'UPDATE',
        amount: index,
      }),
    );
    await broker.publish(...events);

    const { calls, said } = start();
    await untilEmpty();

    // At most 500 in a batch, so ten at least; a batch is what has come by then, so it may be a few more.
    expect(calls.writeChanges).toBeGreaterThanOrEqual(10);
    expect(calls.writeChanges).toBeLessThanOrEqual(40);
    expect(calls.readRecords).toBe(calls.writeChanges);
    expect(said('message.settled')).toBe(5_000);
    const records = await store.readRecords([...new Set(events.map(({ txId }) => txId))]);
    const amounts = [...records.values()].flatMap(({ actionHistory }) =>
      actionHistory.map((entry) => entry.amount),
    );
    expect(amounts.toSorted((left, right) => left - right)).toEqual(events.map((_, index) => index));
  });
});

describe('batches', () => {
  test('are written two at a time, and never two with one transaction', async () => {
    const alone = Array.from({ length: 1_500 }, () => sentEvent());
    const shared = Array.from({ length: 1_500 }, (_, index) =>
      sentEvent({ txId: `shared:${index % 300}`, action: 'UPDATE', amount: index + 1 }),
    );
    await broker.publish(...alone, ...shared);
    const beingWritten: string[] = [];
    let writing = 0;
    let most = 0;
    const shownTwice = new Set<string>();
    const slow: TransactionStore = {
      ...store,
      writeChanges: async (changes, now) => {
        const txIds = changes.map(({ txId }) => txId);
        for (const txId of txIds) if (beingWritten.includes(txId)) shownTwice.add(txId);
        beingWritten.push(...txIds);
        writing += 1;
        most = Math.max(most, writing);
        // Long enough for the next batch to be taken.
        await new Promise((resolve) => setTimeout(resolve, 30));
        const written = await store.writeChanges(changes, now);
        writing -= 1;
        beingWritten.splice(0, beingWritten.length, ...beingWritten.filter((txId) => !txIds.includes(txId)));
        return written;
      },
    };

    const { calls, said } = start({ store: slow });
    await untilEmpty();

    expect(most).toBe(2);
    expect([...shownTwice]).toEqual([]);
    // No race was lost: each batch was read once.
    expect(calls.readRecords).toBe(calls.writeChanges);
    expect(said('message.settled')).toBe(3_000);
  });
});

describe('a message', () => {
  test('is recorded with what the broker knows of it, and told in one line', async () => {
    const sent = sentEvent({ currency: 'EUR', occurredAt: '2026-01-01T00:00:00.001Z' });
    await broker.publish(sent, sent);

    const consumer = start();
    await untilEmpty();

    const found = await store.findTransaction(sent.txId);
    expect(found?.actionHistory).toEqual([
      expect.objectContaining({
        ...{ eventId: sent.eventId, amount: 100, currency: 'EUR', deliveries: 1 },
        occurredAt: new Date('2026-01-01T00:00:00.001Z'),
        at: new Date('2026-01-01T00:00:00.001Z'),
        receivedAt: new Date(sent.receivedAt),
      }),
    ]);
    const [entry] = found?.actionHistory ?? [];
    expect(Math.abs((entry?.storedAt.getTime() ?? 0) - Date.now())).toBeLessThan(30_000);
    expect(lineOf(consumer, sent.txId)).toMatchObject([
      { outcome: 'applied', settled: 'acked', level: 30, sequence: entry?.sequence, deliveries: 1 },
      { outcome: 'duplicate', settled: 'acked', level: 30 },
    ]);
  });

  test('with another content under a known event id is acknowledged, kept and told as an error', async () => {
    const first = sentEvent({ eventId: 'evt-1' });
    await broker.publish(first, sentEvent({ txId: first.txId, eventId: 'evt-1', amount: 999 }));

    const consumer = start();
    await untilEmpty();

    expect(await store.findTransaction(first.txId)).toMatchObject({
      amount: 100,
      conflicts: [{ amount: 999 }],
    });
    expect(lineOf(consumer, first.txId)[1]).toMatchObject({
      outcome: 'conflict',
      settled: 'acked',
      level: 50,
    });
  });

  test('that was published by hand is applied', async () => {
    await broker.publishBytes('payments.new', '{"txId":"by:hand","action":"NEW","amount":100}');

    start();
    await untilEmpty();

    expect(await store.findTransaction('by:hand')).toMatchObject({ source: 'nats', amount: 100, note: '' });
  });
});

describe('a message that cannot be applied now', () => {
  test('comes again later, with the reason in its line, while the others are applied', async () => {
    const [failing, good] = [sentEvent({ txId: 'fails:once' }), sentEvent()];
    let failures = 2;
    const choking: TransactionStore = {
      ...store,
      writeChanges: async (changes, now) => {
        const chokes = failures > 0 && changes.some(({ txId }) => txId === failing.txId);
        if (!chokes) return store.writeChanges(changes, now);
        failures -= 1;
        throw new TypeError('nobody foresaw this');
      },
    };
    await broker.publish(failing, good);

    const consumer = start({ store: choking });
    await eventually(() => store.findVersion(good.txId), { within: 1_000, until: (found) => found === 1 });
    await untilEmpty();

    const lines = lineOf(consumer, failing.txId);
    expect(lines[0]).toMatchObject({ outcome: 'retry', settled: 'retry-later', level: 50 });
    expect(lines[0]).toMatchObject({ detail: 'nobody foresaw this' });
    expect(lines.at(-1)).toMatchObject({ outcome: 'applied', settled: 'acked' });
  });
});

describe('an acknowledgement', () => {
  test('comes after the write and never before it', async () => {
    let write: () => void = () => undefined;
    const allowed = new Promise<void>((resolve) => {
      write = resolve;
    });
    let writing = 0;
    const slow: TransactionStore = {
      ...store,
      writeChanges: async (...args) => {
        writing += 1;
        await allowed;
        return store.writeChanges(...args);
      },
    };
    const sent = sentEvent();
    await broker.publish(sent);

    start({ store: slow });
    await eventually(() => writing, { until: (count) => count === 1 });
    expect(await broker.left()).toMatchObject({ messages: 1, inHand: 1 });
    write();
    await untilEmpty();

    expect(await store.findVersion(sent.txId)).toBe(1);
  });

  test('does not come when the answer of the database was lost: the message comes again and is known', async () => {
    let failures = 1;
    const losing: TransactionStore = {
      ...store,
      writeChanges: async (...args) => {
        const written = await store.writeChanges(...args);
        if (failures > 0) {
          failures -= 1;
          throw new StoreUnavailable('away', { cause: new Error('the answer was lost') });
        }
        return written;
      },
    };
    const sent = sentEvent();
    await broker.publish(sent);

    const consumer = start({ store: losing });
    await untilEmpty();

    expect(lineOf(consumer, sent.txId)).toMatchObject([
      { outcome: 'duplicate', settled: 'acked', deliveries: 2 },
    ]);
    expect((await store.findTransaction(sent.txId))?.actionHistory).toHaveLength(1);
    expect(consumer.said('messages.released')).toBe(1);
  });
});

describe('consumeOnce', () => {
  test('takes what is there, settles it, and tells how many it was', async () => {
    await broker.publish(sentEvent(), sentEvent(), sentEvent());

    const { consumer } = start({ running: false });
    let count = 0;
    while (count < 3) count += await consumer.consumeOnce();

    expect(count).toBe(3);
    await untilEmpty(1_000);
  });

  test('takes nothing more once it is stopped', async () => {
    const { consumer, stop } = startConsumer(broker, { store, running: false });
    await stop();

    expect(await consumer.consumeOnce()).toBe(0);
    expect(consumer.state()).toEqual({ ok: false, detail: 'stopped' });
  });
});
