import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { PaymentEvent } from '@paystream/nats';
import { eventually } from '../../test/harness.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import {
  sentEvent,
  startConsumer,
  startTestBroker,
  type TestBroker,
  type TestConsumer,
} from './testing/consuming.ts';
import { type OwnMongod, openStore, startOwnMongod } from './testing/fixture.ts';

let broker: TestBroker;
let mongod: OwnMongod;
let store: TransactionStore;
let consumer: TestConsumer;

beforeAll(async () => {
  [broker, mongod] = await Promise.all([startTestBroker(), startOwnMongod()]);
  store = await openStore(mongod.uri);
});
afterAll(async () => {
  await store.close();
  await Promise.all([broker.close(), mongod.close()]);
});
beforeEach(() => {
  consumer = startConsumer(broker, { store });
});
afterEach(() => consumer.stop());

const eventsOf = (source: string) =>
  Array.from({ length: 1_000 }, (_, index) =>
    sentEvent({ source, txId: `${source}:${index % 100}`, action: 'UPDATE', amount: index }),
  );
const untilEmpty = () => eventually(broker.left, { within: 30_000, until: ({ messages }) => messages === 0 });
const untilPaused = () =>
  eventually(consumer.consumer.state, {
    within: 15_000,
    until: ({ detail }) => detail === 'the database is away',
  });

async function expectEachOnce(events: readonly PaymentEvent[]): Promise<void> {
  const records = await store.readRecords([...new Set(events.map(({ txId }) => txId))]);
  const amounts = [...records.values()].flatMap(({ actionHistory }) =>
    actionHistory.map((entry) => entry.amount),
  );
  expect(amounts.toSorted((left, right) => left - right)).toEqual(events.map(({ amount }) => amount));
}

/** Lines that are not about one message: what an operator reads during an outage. */
const otherLines = () =>
  consumer.lines
    .filter(({ msg }) => msg !== 'message.settled')
    .map(({ msg, detail }) => `${msg} ${detail ?? ''}`);

describe('while the database is away, the consumer', () => {
  test('stops pulling and goes on by itself after a crash; nothing is lost and nothing doubled', async () => {
    const events = eventsOf('killed');
    await broker.publish(...events.slice(0, 500));
    await eventually(() => consumer.calls.writeChanges, { until: (count) => count > 0 });
    await mongod.kill();
    await broker.publish(...events.slice(500));
    await untilPaused();

    // Safe in the stream, whatever this process does.
    expect((await broker.left()).messages).toBeGreaterThanOrEqual(500);
    await mongod.startAgain();
    await untilEmpty();

    await expectEachOnce(events);
    expect(consumer.consumer.state().ok).toBe(true);
    expect(otherLines().length).toBeLessThan(15);
  });

  test('also when it stands still', async () => {
    const events = eventsOf('paused');
    mongod.pause();
    await broker.publish(...events);
    await untilPaused();

    expect((await broker.left()).messages).toBe(1_000);
    mongod.resume();
    await untilEmpty();

    await expectEachOnce(events);
    expect(otherLines().length).toBeLessThan(15);
  });

  test('stops at once when it is told to', async () => {
    await mongod.kill();
    await broker.publish(sentEvent({ txId: 'left:over' }));
    await untilPaused();

    const startedAt = performance.now();
    await consumer.stop();

    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(await broker.left()).toMatchObject({ messages: 1 });
    await mongod.startAgain();
    consumer = startConsumer(broker, { store });
    await untilEmpty();
    expect(await store.findVersion('left:over')).toBe(1);
  });
});

describe('a database that answers and takes no write', () => {
  test('is asked less and less often, and not in a loop', async () => {
    let refusals = 0;
    const refusing: TransactionStore = {
      ...store,
      writeChanges: async (...args) => {
        if (refusals >= 4) return store.writeChanges(...args);
        refusals += 1;
        throw new StoreUnavailable('away', { cause: new Error('no space left') });
      },
    };
    await consumer.stop();
    consumer = startConsumer(broker, { store: refusing });
    const startedAt = performance.now();

    await broker.publish(sentEvent({ txId: 'no:space' }));
    await untilEmpty();

    // 250 + 500 + 1,000 + 2,000 ms; without the growth it is 1 s of the broker for each.
    expect(performance.now() - startedAt).toBeGreaterThan(4_500);
    expect(consumer.said('messages.released')).toBe(4);
    expect((await store.findTransaction('no:space'))?.actionHistory).toHaveLength(1);
  });
});
