import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { deadLetterHeaders } from '@paystream/nats';
import { eventually, testMongoUri } from '../../test/harness.ts';
import { recordEvents } from './record-events.ts';
import type { TransactionStore } from './store.ts';
import {
  sentEvent,
  startConsumer,
  startTestBroker,
  type TestBroker,
  type TestConsumer,
} from './testing/consuming.ts';
import { eventOf, openStore } from './testing/fixture.ts';

let broker: TestBroker;
let store: TransactionStore;
let consumer: TestConsumer;

beforeAll(async () => {
  [broker, store] = await Promise.all([startTestBroker(), openStore(testMongoUri())]);
  consumer = startConsumer(broker, { store: buggy(store), retryDelay: () => 20 });
});
afterAll(async () => {
  await consumer.stop();
  await store.close();
  await broker.close();
});

/** A bug that one transaction brings out, whatever stands beside it. */
const buggy = (real: TransactionStore): TransactionStore => ({
  ...real,
  readRecords: async (txIds) => {
    if (txIds.includes('brings:out:a:bug')) throw new TypeError('cannot fold it');
    return real.readRecords(txIds);
  },
});

async function deadLetters() {
  const client = await broker.connection.whenUp(AbortSignal.timeout(5_000));
  const manager = await client.jetstreamManager();
  const { state } = await manager.streams.info('payment-dead-letters');
  const sequences = Array.from({ length: state.messages }, (_, index) => state.first_seq + index);
  return Promise.all(
    sequences.map(async (seq) => {
      const { subject, data, header } = await manager.streams.getMessage('payment-dead-letters', { seq });
      return {
        subject,
        data: Buffer.from(data).toString('latin1'),
        reason: header.get(deadLetterHeaders.reason),
        firstError: header.get(deadLetterHeaders.firstError),
      };
    }),
  );
}

test('a message that nobody can read becomes a dead letter with the reason, and the next one is not delayed', async () => {
  await eventually(consumer.consumer.state, { until: ({ ok }) => ok });
  const garbage = {
    'not-json': 'nonsense',
    'not-utf8': Uint8Array.of(0x22, 0xff, 0x22),
    'not-an-event': '{"txId":"a b","action":"NEW","amount":-1}',
    'subject-mismatch': '{"txId":"a","action":"UPDATE","amount":1}',
  };
  const good = sentEvent();

  for (const data of Object.values(garbage)) await broker.publishBytes('payments.new', data);
  await broker.publish(good);
  await eventually(() => store.findVersion(good.txId), {
    within: 1_000,
    every: 5,
    until: (found) => found === 1,
  });
  await eventually(broker.left, { until: ({ messages }) => messages === 0 });

  const found = await deadLetters();
  expect(found.map(({ reason }) => reason).toSorted()).toEqual(Object.keys(garbage).toSorted());
  expect(found.find(({ reason }) => reason === 'not-utf8')?.data).toBe('"\xff"');
  expect(new Set(found.map(({ subject }) => subject))).toEqual(new Set(['dead-letters.payments.new']));
  const told = consumer.lines.filter((line) => line.outcome === 'unreadable');
  expect(told).toHaveLength(4);
  for (const line of told) {
    expect(line).toMatchObject({ settled: 'dead-lettered', level: 50, detail: expect.any(String) });
  }
});

test('an event that a full history cannot take becomes a dead letter too', async () => {
  const txId = 'full:history';
  const full = Array.from({ length: 10_000 }, (_, index) => eventOf({ txId, eventId: `evt-${index}` }));
  await recordEvents({ store, now: () => new Date() }, full);

  await broker.publish(sentEvent({ txId }));
  await eventually(broker.left, { until: ({ messages }) => messages === 0 });

  expect((await deadLetters()).map(({ reason }) => reason)).toContain('history-full');
  expect((await store.findTransaction(txId))?.actionHistory).toHaveLength(10_000);
});

test('a bug that one message brings out is told with its stack, ends as a dead letter, and delays nobody', async () => {
  const bad = sentEvent({ txId: 'brings:out:a:bug' });
  const good = Array.from({ length: 20 }, () => sentEvent());

  await broker.publish(bad, ...good);
  await eventually(() => store.readRecords(good.map(({ txId }) => txId)), {
    within: 2_000,
    until: ({ size }) => size === good.length,
  });
  await eventually(broker.left, { within: 20_000, until: ({ messages }) => messages === 0 });

  const letter = (await deadLetters()).find(({ reason }) => reason === 'tried-in-vain');
  expect(letter).toMatchObject({ data: JSON.stringify(bad), firstError: 'cannot fold it' });
  const told = consumer.lines.filter(({ txId, outcome }) => txId === bad.txId && outcome === 'retry');
  // Ten times among others, three times alone.
  expect(told.map(({ alone }) => alone === true).sort()).toEqual([
    ...Array(10).fill(false),
    ...Array(3).fill(true),
  ]);
  for (const line of told) expect(line).toMatchObject({ level: 50, err: { type: 'TypeError' } });
});
