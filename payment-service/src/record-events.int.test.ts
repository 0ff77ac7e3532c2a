import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import mongoose from 'mongoose';
import { testMongoUri } from '../../test/harness.ts';
import type { IncomingEvent } from './domain/record.ts';
import { foldTransaction } from './domain/transaction.ts';
import { recordEvents } from './record-events.ts';
import type { TransactionStore } from './store.ts';
import { eventOf, openStore } from './testing/fixture.ts';

const now = () => new Date();
const uri = `${testMongoUri()}&monitorCommands=true`;
const commands: string[] = [];
/** Two, as two processes have them. */
let stores: [TransactionStore, TransactionStore];

beforeAll(async () => {
  stores = [await openStore(uri), await openStore(uri)];
  for (const connection of mongoose.connections.slice(-2)) {
    connection.getClient().on('commandStarted', ({ commandName }) => commands.push(commandName));
  }
});
afterAll(() => Promise.all(stores.map((store) => store.close())));

const [first, second] = [() => stores[0], () => stores[1]];

describe('recordEvents on a real database', () => {
  test('needs one find and one bulk write for 500 events of 100 transactions, new ones and known ones', async () => {
    const txIds = Array.from({ length: 100 }, () => randomUUID());
    const batch = (action: 'NEW' | 'UPDATE') =>
      txIds.flatMap((txId) => [1, 2, 3, 4, 5].map((amount) => eventOf({ txId, action, amount })));
    commands.length = 0;

    await recordEvents({ store: first(), now }, batch('NEW'));
    expect(commands).toEqual(['find', 'insert']);
    const outcomes = await recordEvents({ store: second(), now }, batch('UPDATE'));
    expect(commands).toEqual(['find', 'insert', 'find', 'update']);

    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['applied']));
    const records = await first().readRecords(txIds);
    expect([...records.values()].map(({ actionHistory }) => actionHistory.length)).toEqual(
      txIds.map(() => 10),
    );
  });

  test('takes a batch in parts whose histories are too much for one read', async () => {
    const small = await openStore(uri, { entriesMax: 9 });
    const txIds = Array.from({ length: 7 }, () => randomUUID());
    const batch = (amounts: number[]) =>
      txIds.flatMap((txId) => amounts.map((amount) => eventOf({ txId, action: 'UPDATE', amount })));
    const known = batch([1, 2, 3, 4]);
    await recordEvents({ store: first(), now }, known);

    const outcomes = await recordEvents({ store: small, now }, [...batch([5]), ...known.slice(0, 4)]);
    const records = await first().readRecords(txIds);
    await small.close();

    const kinds = [...txIds.map(() => 'applied'), ...Array(4).fill('duplicate')];
    expect(outcomes.map(({ kind }) => kind)).toEqual(kinds);
    expect(txIds.map((txId) => records.get(txId)?.actionHistory.length)).toEqual(txIds.map(() => 5));
  });

  test('writes nothing for a batch of duplicates', async () => {
    const events = [eventOf(), eventOf()];
    await recordEvents({ store: first(), now }, events);
    commands.length = 0;

    const outcomes = await recordEvents(
      { store: second(), now },
      events.map((event) => ({ ...event, deliveries: 2 })),
    );

    expect(outcomes).toEqual([{ kind: 'duplicate' }, { kind: 'duplicate' }]);
    expect(commands).toEqual(['find']);
  });

  test('retries one transaction that the driver cannot send, and applies the others', async () => {
    const huge = eventOf({ note: 'x'.repeat(17_000_000) });
    const others = [eventOf(), eventOf()];
    // The domain would not let it come so far: this is about what nobody thought of.
    const store: TransactionStore = {
      ...first(),
      writeChanges: (changes, at) =>
        first().writeChanges(
          changes.map((change) =>
            change.txId === huge.txId
              ? { ...change, newEntries: change.newEntries.map((entry) => ({ ...entry, note: huge.note })) }
              : change,
          ),
          at,
        ),
    };

    const outcomes = await recordEvents({ store, now }, [...others, { ...huge, note: 'short' }]);

    expect(outcomes).toEqual([
      { kind: 'applied' },
      { kind: 'applied' },
      { kind: 'retry', detail: expect.stringContaining('larger than'), error: expect.any(Error) },
    ]);
  });

  test('applies each event once when 2 to 8 work on the same transactions at the same time', async () => {
    const eventArb = fc
      .record({
        tx: fc.nat(2),
        amount: fc.nat(5),
        action: fc.constantFrom('NEW' as const, 'UPDATE' as const),
      })
      .map(({ tx, amount, action }) => ({ tx, event: eventOf({ txId: `stripe:${tx}`, amount, action }) }));
    const batchesArb = fc.array(fc.array(eventArb, { minLength: 1, maxLength: 15 }), {
      minLength: 2,
      maxLength: 8,
    });
    let retries = 0;

    await fc.assert(
      fc.asyncProperty(batchesArb, async (drawn) => {
        const run = randomUUID();
        const batches = drawn.map((batch) =>
          batch.map(({ tx, event }) =>
            eventOf({ ...event, txId: `stripe:${run}.${tx}`, eventId: event.eventId }),
          ),
        );
        let [applied, retried, recorded] = [0, 0, 0];
        const untilSettled = async (store: TransactionStore, events: IncomingEvent[]): Promise<void> => {
          const outcomes = await recordEvents({ store, now }, events);
          applied += outcomes.filter(({ kind }) => kind === 'applied').length;
          const again = events.filter((_, index) => outcomes[index]?.kind === 'retry');
          retried += again.length;
          if (again.length > 0) await untilSettled(store, again);
        };

        await Promise.all(
          batches.map((batch, index) => untilSettled(index % 2 === 0 ? first() : second(), batch)),
        );

        const sent = new Set(batches.flat().map(({ txId, eventId }) => `${txId} ${eventId}`));
        for (const txId of new Set(batches.flat().map((event) => event.txId))) {
          const found = await first().findTransaction(txId);
          const history = found?.actionHistory ?? [];
          expect(history.map(({ n }) => n)).toEqual(history.map((_, index) => index + 1));
          for (const { eventId } of history) expect(sent.delete(`${txId} ${eventId}`)).toBe(true);
          recorded += history.length;
          // What was written last is what the whole history folds to, whoever won.
          expect(found).toMatchObject(foldTransaction(history));
        }
        expect([...sent]).toEqual([]);
        // One that was written in the last round of a lost race is found as a duplicate when it comes again.
        expect(applied).toBeLessThanOrEqual(recorded);
        expect(applied + retried).toBeGreaterThanOrEqual(recorded);
        retries += retried;
      }),
      { numRuns: 25, endOnFailure: true },
    );
    // Each round of a race has a winner, and who lost sees what won: with eight, five rounds are seldom too few.
    expect(retries).toBeLessThan(100);
  });
});
