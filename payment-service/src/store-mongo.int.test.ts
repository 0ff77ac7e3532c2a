import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import mongoose from 'mongoose';
import { testMongoUri } from '../../test/harness.ts';
import type { TransactionStore } from './store.ts';
import { changeOf, eventOf, openStore, storedAt } from './testing/fixture.ts';

const now = new Date('2026-02-03T04:05:06.789Z');
const uri = testMongoUri();
const ok = { complete: true, refused: new Map() };
const lost = { complete: false, refused: new Map() };
let store: TransactionStore;
/** Past our own code, to see what is really there. */
let direct: mongoose.Connection;

beforeAll(async () => {
  store = await openStore(uri);
  direct = await mongoose.createConnection(uri).asPromise();
});
afterAll(async () => {
  await store.close();
  await direct.dropDatabase();
  await direct.close();
});

const recordOf = async (txId: string) => (await store.readRecords([txId])).get(txId);
const documentOf = (txId: string) => direct.collection('transactions').findOne({ txId });

test('nothing is asked about no transactions', async () => {
  const closed = await openStore(uri);
  await closed.close();

  expect(await closed.readRecords([])).toEqual(new Map());
});

describe('a write', () => {
  test('inserts a transaction, and updates it at the version that was read', async () => {
    const first = eventOf({ note: 'first' });
    const second = eventOf({ txId: first.txId, action: 'UPDATE', amount: 250, currency: 'EUR' });
    const later = new Date(now.getTime() + 1);

    expect(await store.writeChanges([changeOf(undefined, first)], now)).toEqual(ok);
    expect(await store.writeChanges([changeOf(await recordOf(first.txId), second)], later)).toEqual(ok);

    expect(await store.findTransaction(first.txId)).toMatchObject({
      ...{ txId: first.txId, status: 'updated', amount: 250, currency: 'EUR', hasNew: true, version: 2 },
      ...{ createdAt: now, updatedAt: later, conflicts: [], anomalies: [] },
      actionHistory: [
        { n: 1, eventId: first.eventId, action: 'NEW', amount: 100, note: 'first', at: storedAt },
        { n: 2, eventId: second.eventId, action: 'UPDATE', amount: 250, currency: 'EUR', at: storedAt },
      ],
    });
  });

  test('that lost the race to insert leaves the winner as it is, and says so', async () => {
    const [winner, loser] = [eventOf(), eventOf()].map((event) => ({ ...event, txId: 'stripe:insert' }));
    const [first, second] = [winner, loser].map((event) => changeOf(undefined, event ?? eventOf()));
    const bystander = changeOf(undefined, eventOf());

    expect(await store.writeChanges(first ? [first] : [], now)).toEqual(ok);
    expect(await store.writeChanges(second ? [second, bystander] : [], now)).toEqual(lost);

    expect((await recordOf('stripe:insert'))?.actionHistory.map(({ eventId }) => eventId)).toEqual([
      winner?.eventId,
    ]);
    expect(await recordOf(bystander.txId)).toBeDefined();
  });

  test('that lost the race to update leaves the winner as it is, and says so', async () => {
    const { txId } = eventOf();
    await store.writeChanges([changeOf(undefined, eventOf({ txId }))], now);
    const seen = await recordOf(txId);
    const winner = changeOf(seen, eventOf({ txId, action: 'UPDATE', amount: 1 }));
    const loser = changeOf(seen, eventOf({ txId, action: 'UPDATE', amount: 2 }));
    const bystander = changeOf(undefined, eventOf());

    expect(await store.writeChanges([winner], now)).toEqual(ok);
    expect(await store.writeChanges([loser, bystander], now)).toEqual(lost);

    expect(await store.findTransaction(txId)).toMatchObject({ version: 2, amount: 1 });
    expect((await recordOf(txId))?.actionHistory).toHaveLength(2);
    expect(await recordOf(bystander.txId)).toBeDefined();
  });

  test('of which one document grows too large is refused for that one, with the reason', async () => {
    const [large, other] = [eventOf(), eventOf()];
    const nineMegabytes = 'x'.repeat(9 * 1024 * 1024);
    await store.writeChanges(
      [large, other].map((event) => changeOf(undefined, event)),
      now,
    );
    const records = await store.readRecords([large.txId, other.txId]);
    const grow = (event: typeof large, note: string) =>
      changeOf(records.get(event.txId), eventOf({ txId: event.txId, action: 'UPDATE', note }));
    const first = grow(large, 'x');
    const tooLarge = {
      ...first,
      newEntries: first.newEntries.map((entry) => ({ ...entry, note: nineMegabytes })),
    };
    await store.writeChanges([tooLarge], now);
    const again = { ...tooLarge, expectedVersion: 2 };

    const written = await store.writeChanges([again, grow(other, 'y')], now);

    expect([...written.refused.keys()]).toEqual([large.txId]);
    expect(written.refused.get(large.txId)).toMatch(/16MB/);
    expect(await store.findVersion(large.txId)).toBe(2);
    expect(await store.findVersion(other.txId)).toBe(2);
  });

  test('of a document that the driver cannot send is no outage', async () => {
    const change = changeOf(undefined, eventOf());
    const note = 'x'.repeat(17_000_000);
    const tooLarge = { ...change, newEntries: change.newEntries.map((entry) => ({ ...entry, note })) };

    await expect(store.writeChanges([tooLarge], now)).rejects.not.toMatchObject({ name: 'StoreUnavailable' });
    expect(store.state().ok).toBe(true);
  });
});

describe('a document', () => {
  test.each([0, 1, 2 ** 31, Number.MAX_SAFE_INTEGER])(
    'holds the amount %p as a 64-bit integer',
    async (amount) => {
      const event = eventOf({ action: 'APPROVED', amount });
      await store.writeChanges([changeOf(undefined, event)], now);

      const [types] = await direct
        .collection('transactions')
        .aggregate([
          { $match: { txId: event.txId } },
          {
            $project: {
              _id: 0,
              amount: { $type: '$amount' },
              captured: { $type: '$amounts.captured' },
              refunded: { $type: '$amounts.refunded' },
              history: { $type: { $first: '$actionHistory.amount' } },
            },
          },
        ])
        .toArray();
      expect(types).toEqual({ amount: 'long', captured: 'long', refunded: 'long', history: 'long' });
      expect(await store.findTransaction(event.txId)).toMatchObject({
        amount,
        amounts: { authorized: amount, captured: amount, refunded: 0, disputed: 0 },
        actionHistory: [{ amount }],
      });
    },
  );

  test('holds times as dates, what was not said not at all, and what a relay will need', async () => {
    const said = eventOf({ occurredAt: new Date('2026-01-01T00:00:00.001Z') });
    const bare = eventOf();
    await store.writeChanges(
      [said, bare].map((event) => changeOf(undefined, event)),
      now,
    );

    const document = await documentOf(said.txId);
    expect(document).toMatchObject({ relayed: 0, schema: 1, version: 1, createdAt: now, updatedAt: now });
    expect(document?.actionHistory).toEqual([
      expect.objectContaining({
        occurredAt: said.occurredAt,
        at: said.occurredAt,
        receivedAt: storedAt,
        storedAt,
      }),
    ]);
    const [entry] = (await documentOf(bare.txId))?.actionHistory ?? [];
    expect(Object.keys(entry).toSorted()).toEqual(
      [
        ...['action', 'amount', 'at', 'deliveries', 'eventId', 'fingerprint', 'n', 'note'],
        'receivedAt',
        'sequence',
        'source',
        'storedAt',
      ].toSorted(),
    );
    expect(await documentOf(bare.txId)).not.toHaveProperty('currency');
  });
});

describe('reading', () => {
  test('finds the records that exist, by their exact ids', async () => {
    const event = eventOf({ txId: 'stripe:Reading' });
    await store.writeChanges([changeOf(undefined, event)], now);

    const found = await store.readRecords(['stripe:Reading', 'stripe:reading', randomUUID()]);

    expect([...found.keys()]).toEqual(['stripe:Reading']);
    expect(await store.findVersion('stripe:Reading')).toBe(1);
    expect(await store.findVersion('stripe:reading')).toBeUndefined();
    expect(await store.findTransaction('stripe:reading')).toBeUndefined();
    expect(await store.readRecords([])).toEqual(new Map());
  });

  test('of more history than is held at one time tells how many fit, and one alone always does', async () => {
    const [small, tiny] = [await openStore(uri, { entriesMax: 3 }), await openStore(uri, { entriesMax: 1 })];
    const txIds = [randomUUID(), randomUUID(), randomUUID()];
    await store.writeChanges(
      txIds.map((txId) => changeOf(undefined, eventOf({ txId, amount: 1 }), eventOf({ txId, amount: 2 }))),
      now,
    );

    await expect(small.readRecords(txIds)).rejects.toMatchObject({ name: 'TooMuchHistory', fitting: 2 });
    expect((await small.readRecords(txIds.slice(0, 2))).size).toBe(2);
    await expect(tiny.readRecords(txIds)).rejects.toMatchObject({ fitting: 1 });
    expect((await tiny.readRecords(txIds.slice(0, 1))).size).toBe(1);
    await Promise.all([small.close(), tiny.close()]);
  });
});
