import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { IncomingEvent } from './domain/record.ts';
import { type RecordOutcome, recordEvents } from './record-events.ts';
import { StoreUnavailable, TooMuchHistory } from './store.ts';
import { eventOf } from './testing/fixture.ts';
import { createMemoryStore, type MemoryStore } from './testing/memory-store.ts';

const now = () => new Date('2026-02-03T04:05:06.789Z');
const record = (store: MemoryStore, ...events: IncomingEvent[]) => recordEvents({ store, now }, events);
const kinds = (outcomes: readonly RecordOutcome[]) => outcomes.map(({ kind }) => kind);
const historyOf = (store: MemoryStore, txId: string) =>
  store.records.get(txId)?.actionHistory.map(({ eventId }) => eventId) ?? [];

describe('recordEvents', () => {
  test('applies new events of one transaction in the order given, in one write', async () => {
    const store = createMemoryStore();
    const first = eventOf();
    const second = eventOf({ txId: first.txId, action: 'UPDATE', amount: 200 });

    const outcomes = await record(store, first, second);

    expect(kinds(outcomes)).toEqual(['applied', 'applied']);
    expect(historyOf(store, first.txId)).toEqual([first.eventId, second.eventId]);
    expect(store.calls).toEqual({ reads: 1, writes: 1 });
  });

  test('asks nobody about nothing', async () => {
    const store = createMemoryStore();

    expect(await record(store)).toEqual([]);
    expect(store.calls).toEqual({ reads: 0, writes: 0 });
  });

  test('knows a duplicate, in the same batch and in a later one, and writes nothing for it', async () => {
    const store = createMemoryStore();
    const event = eventOf();

    expect(kinds(await record(store, event, { ...event, sequence: 99 }))).toEqual(['applied', 'duplicate']);
    expect(kinds(await record(store, { ...event, deliveries: 2 }))).toEqual(['duplicate']);
    expect(store.records.get(event.txId)?.version).toBe(1);
    expect(store.calls.writes).toBe(1);
  });

  test('keeps another content under a known event id as a conflict, without effect', async () => {
    const store = createMemoryStore();
    const first = eventOf({ eventId: 'evt-1' });
    const other = eventOf({ txId: first.txId, eventId: 'evt-1', amount: 999 });

    const outcomes = await record(store, first, other, other);

    expect(outcomes).toEqual([
      { kind: 'applied' },
      { kind: 'conflict', recordedFingerprint: first.fingerprint },
      { kind: 'conflict', recordedFingerprint: first.fingerprint },
    ]);
    expect(historyOf(store, first.txId)).toEqual(['evt-1']);
    expect(store.records.get(first.txId)?.conflicts).toHaveLength(1);
  });

  test('makes a dead letter of what a full history cannot take, and applies the rest of the batch', async () => {
    const store = createMemoryStore();
    const txId = 'stripe:full';
    const full = Array.from({ length: 10_000 }, (_, index) => eventOf({ txId, eventId: `evt-${index}` }));
    await record(store, ...full);

    const outcomes = await record(store, eventOf({ txId }), eventOf());

    expect(kinds(outcomes)).toEqual(['dead-letter', 'applied']);
    expect(historyOf(store, txId)).toHaveLength(10_000);
  });

  test('asks for as many transactions at a time as the store can hold the histories of', async () => {
    const store = createMemoryStore();
    store.next.readRecords.push(() => Promise.reject(new TooMuchHistory(2)));
    const events = Array.from({ length: 5 }, (_, index) => eventOf({ txId: `stripe:${index}` }));

    const outcomes = await record(store, ...events);

    expect(new Set(kinds(outcomes))).toEqual(new Set(['applied']));
    // The first for all of them, then for two, two and one.
    expect(store.calls).toEqual({ reads: 4, writes: 3 });
  });

  test('does nothing at all for no events', async () => {
    const store = createMemoryStore();

    expect(await record(store)).toEqual([]);
    expect(store.calls).toEqual({ reads: 0, writes: 0 });
  });

  test('needs one read and one write for 500 events of 100 transactions', async () => {
    const store = createMemoryStore();
    const events = Array.from({ length: 500 }, (_, index) =>
      eventOf({ txId: `stripe:${index % 100}`, action: 'UPDATE', amount: index }),
    );

    const outcomes = await record(store, ...events);

    expect(new Set(kinds(outcomes))).toEqual(new Set(['applied']));
    expect(store.calls).toEqual({ reads: 1, writes: 1 });
  });
});

describe('a lost race', () => {
  test('is read and decided again, for the transactions that lost only', async () => {
    const store = createMemoryStore();
    const mine = eventOf();
    const theirs = eventOf({ txId: mine.txId, action: 'UPDATE' });
    const untouched = eventOf();
    store.next.writeChanges.push(async (changes) => {
      await record(store, theirs);
      return store.apply(changes);
    });

    expect(kinds(await record(store, mine, untouched))).toEqual(['applied', 'applied']);
    expect(historyOf(store, mine.txId)).toEqual([theirs.eventId, mine.eventId]);
    expect(historyOf(store, untouched.txId)).toEqual([untouched.eventId]);
  });

  test('ends as a duplicate when the winner applied the same event', async () => {
    const store = createMemoryStore();
    const event = eventOf();
    store.next.writeChanges.push(async (changes) => {
      await record(store, { ...event, deliveries: 2 });
      return store.apply(changes);
    });

    expect(kinds(await record(store, event))).toEqual(['duplicate']);
    expect(historyOf(store, event.txId)).toEqual([event.eventId]);
  });

  test('is given up after five rounds: the message comes again', async () => {
    const store = createMemoryStore();
    const lose = async () => ({ complete: false, refused: new Map<string, string>() });
    store.next.writeChanges.push(lose, lose, lose, lose, lose);

    expect(await record(store, eventOf())).toEqual([
      { kind: 'retry', detail: 'lost the write race 5 times' },
    ]);
    expect(store.calls).toEqual({ reads: 5, writes: 5 });
  });
});

describe('a database that fails', () => {
  test('leaves nothing decided while it is away', async () => {
    const store = createMemoryStore();
    store.next.readRecords.push(() => Promise.reject(new StoreUnavailable('away')));

    await expect(record(store, eventOf(), eventOf())).rejects.toThrow(StoreUnavailable);
    expect(store.records.size).toBe(0);
  });

  test('and took the write all the same: the event is a duplicate the next time', async () => {
    const store = createMemoryStore();
    const event = eventOf();
    store.next.writeChanges.push(async (changes) => {
      store.apply(changes);
      throw new StoreUnavailable('the answer was lost');
    });

    await expect(record(store, event)).rejects.toThrow(StoreUnavailable);
    expect(kinds(await record(store, event))).toEqual(['duplicate']);
    expect(historyOf(store, event.txId)).toHaveLength(1);
  });

  test('that refuses one transaction does not stop the others', async () => {
    const store = createMemoryStore();
    const [bad, good] = [eventOf(), eventOf()];
    store.next.writeChanges.push(async (changes) => ({
      complete: !store.apply(changes.filter(({ txId }) => txId !== bad.txId)).complete,
      refused: new Map([[bad.txId, 'too large']]),
    }));

    const outcomes = await record(store, bad, good);

    expect(outcomes[0]).toEqual({ kind: 'retry', detail: 'too large' });
    expect(historyOf(store, good.txId)).toHaveLength(1);
    expect(outcomes[1]).toEqual({ kind: 'applied' });
  });

  test('that chokes on one transaction without a word which: each is tried alone', async () => {
    const store = createMemoryStore();
    const [bad, good, better] = [eventOf(), eventOf(), eventOf()];
    const choke: MemoryStore['writeChanges'] = async (changes) => {
      if (changes.some(({ txId }) => txId === bad.txId)) throw new RangeError('cannot be encoded');
      return store.apply(changes);
    };
    store.next.writeChanges.push(choke, choke, choke, choke);

    const outcomes = await record(store, good, bad, better);

    expect(outcomes).toEqual([
      { kind: 'applied' },
      { kind: 'retry', detail: 'cannot be encoded', error: expect.any(RangeError) },
      { kind: 'applied' },
    ]);
  });
});

describe('several at once', () => {
  // Few transactions and few contents, so that nearly everything collides.
  const eventArb = fc
    .record({ tx: fc.nat(2), amount: fc.nat(4), action: fc.constantFrom('NEW' as const, 'UPDATE' as const) })
    .map(({ tx, amount, action }) => eventOf({ txId: `stripe:${tx}`, amount, action }));
  const batchesArb = fc.array(fc.array(eventArb, { maxLength: 12 }), { minLength: 2, maxLength: 8 });

  test('apply every event once, in whatever order their reads and writes fall', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), batchesArb, async (scheduler, batches) => {
        const store = createMemoryStore();
        store.beforeStep = scheduler.scheduleFunction(async () => undefined);
        const applied: string[] = [];
        let retried = 0;
        const untilSettled = async (events: IncomingEvent[]): Promise<void> => {
          const outcomes = await record(store, ...events);
          const again = events.filter((_, index) => outcomes[index]?.kind === 'retry');
          applied.push(
            ...events
              .filter((_, index) => outcomes[index]?.kind === 'applied')
              .map(({ txId, eventId }) => `${txId} ${eventId}`),
          );
          retried += again.length;
          if (again.length > 0) await untilSettled(again);
        };

        await scheduler.waitFor(Promise.all(batches.map(untilSettled)));

        const sent = new Set(batches.flat().map(({ txId, eventId }) => `${txId} ${eventId}`));
        const held = [...store.records.values()].flatMap((one) =>
          one.actionHistory.map(({ eventId }) => `${one.txId} ${eventId}`),
        );
        expect(held.toSorted()).toEqual([...sent].toSorted());
        // Reported as applied once; one that was written in the last round of a lost race is found when it comes again.
        expect(new Set(applied).size).toBe(applied.length);
        if (retried === 0) expect(applied.toSorted()).toEqual(held.toSorted());
        for (const { version, actionHistory } of store.records.values()) {
          expect(actionHistory.map(({ n }) => n)).toEqual(actionHistory.map((_, index) => index + 1));
          expect(version).toBeLessThanOrEqual(actionHistory.length);
        }
      }),
      { numRuns: 150 },
    );
  });
});
