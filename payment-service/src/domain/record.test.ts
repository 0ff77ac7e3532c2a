import { describe, expect, test } from '@jest/globals';
import {
  decideRecord,
  type IncomingEvent,
  type RecordChange,
  recordLimits,
  type TransactionRecord,
} from './record.ts';
import { foldTransaction } from './transaction.ts';

const txId = '7b0c1a52-4a8e-4a8e-8a8e-0123456789ab';
const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);

const incoming = (eventId: string, event: Partial<IncomingEvent> = {}): IncomingEvent => ({
  txId,
  eventId,
  fingerprint: `content of ${eventId}`,
  action: 'UPDATE',
  amount: 100,
  note: '',
  source: 'x-payment',
  receivedAt: at(1),
  storedAt: at(2),
  sequence: 1,
  deliveries: 1,
  ...event,
});

/** What a store does with a change. */
const written = (record: TransactionRecord | undefined, change: RecordChange): TransactionRecord => ({
  txId: change.txId,
  version: (record?.version ?? 0) + 1,
  actionHistory: [...(record?.actionHistory ?? []), ...change.newEntries],
  conflicts: [...(record?.conflicts ?? []), ...change.newConflicts],
});

const recordOf = (...events: IncomingEvent[]): TransactionRecord => {
  const { change } = decideRecord(undefined, events);
  if (change === undefined) throw new Error('nothing was recorded');
  return written(undefined, change);
};

const kinds = ({ decisions }: ReturnType<typeof decideRecord>) => decisions.map(({ kind }) => kind);

describe('a new event', () => {
  test('becomes the first entry of a transaction that must not exist yet', () => {
    const event = incoming('a', { action: 'NEW', currency: 'EUR', reference: 'r', deliveries: 3 });

    const { decisions, change } = decideRecord(undefined, [event]);

    const { txId: _, ...fact } = event;
    expect(decisions).toEqual([{ kind: 'applied' }]);
    expect(change).toEqual({
      txId,
      expectedVersion: 0,
      newEntries: [{ n: 1, ...fact, at: at(2) }],
      newConflicts: [],
      state: foldTransaction([{ n: 1, ...fact, at: at(2) }]),
    });
  });

  test('continues the numbers and guards the version that was read', () => {
    const record = { ...recordOf(incoming('a'), incoming('b')), version: 7 };

    const { change } = decideRecord(record, [incoming('c'), incoming('d')]);

    expect(change?.expectedVersion).toBe(7);
    expect(change?.newEntries.map(({ n, eventId }) => [n, eventId])).toEqual([
      [3, 'c'],
      [4, 'd'],
    ]);
  });

  test('is folded with all that was there before', () => {
    const record = recordOf(incoming('a', { action: 'APPROVED', amount: 100 }));

    const { change } = decideRecord(record, [incoming('b', { action: 'REFUNDED', amount: 40 })]);

    expect(change?.state).toMatchObject({ status: 'partially_refunded', amount: 100 });
  });

  test('is ordered by the time its source gives, else by when the broker stored it', () => {
    const { change } = decideRecord(undefined, [incoming('a', { occurredAt: at(0) }), incoming('b')]);

    expect(change?.newEntries.map((entry) => entry.at)).toEqual([at(0), at(2)]);
  });

  test('changes neither the record that was read nor the event', () => {
    const record = recordOf(incoming('a'));
    const before = structuredClone(record);
    Object.freeze(record.actionHistory);

    decideRecord(Object.freeze(record), [Object.freeze(incoming('b')), incoming('a', { fingerprint: '?' })]);

    expect(record).toEqual(before);
  });
});

describe('an event that is in the history', () => {
  test('is a duplicate, and there is nothing to write', () => {
    expect(decideRecord(recordOf(incoming('a')), [incoming('a', { deliveries: 2 })])).toEqual({
      decisions: [{ kind: 'duplicate' }],
      change: undefined,
    });
  });

  test('is a duplicate when it was published again, at another time and place', () => {
    const again = incoming('a', { storedAt: at(999), receivedAt: at(998), sequence: 77 });

    expect(kinds(decideRecord(recordOf(incoming('a')), [again]))).toEqual(['duplicate']);
  });

  test('twice in one batch is applied once', () => {
    const recorded = decideRecord(undefined, [incoming('a'), incoming('b'), incoming('a'), incoming('a')]);

    expect(kinds(recorded)).toEqual(['applied', 'applied', 'duplicate', 'duplicate']);
    expect(recorded.change?.newEntries.map(({ eventId }) => eventId)).toEqual(['a', 'b']);
  });

  test('does not keep the others of its batch from being applied', () => {
    const recorded = decideRecord(recordOf(incoming('a')), [incoming('a'), incoming('b')]);

    expect(kinds(recorded)).toEqual(['duplicate', 'applied']);
    expect(recorded.change?.newEntries.map(({ n, eventId }) => [n, eventId])).toEqual([[2, 'b']]);
  });

  test('has no say in two events of equal content: their ids tell them apart', () => {
    const same = { fingerprint: 'the same' };

    expect(kinds(decideRecord(undefined, [incoming('a', same), incoming('b', same)]))).toEqual([
      'applied',
      'applied',
    ]);
  });
});

describe('another content under a known event id', () => {
  const other = (fingerprint: string) => incoming('a', { fingerprint, amount: 999 });

  test('is a conflict, kept beside the history and without effect', () => {
    const record = recordOf(incoming('a'));

    const { decisions, change } = decideRecord(record, [other('forged')]);

    const { txId: _, ...fact } = other('forged');
    expect(decisions).toEqual([{ kind: 'conflict', recordedFingerprint: 'content of a' }]);
    expect(change).toEqual({
      txId,
      expectedVersion: 1,
      newEntries: [],
      newConflicts: [{ ...fact, at: at(2), recordedFingerprint: 'content of a' }],
      state: foldTransaction(record.actionHistory),
    });
  });

  test('is found within one batch: the first of the two counts', () => {
    const recorded = decideRecord(undefined, [incoming('a'), other('forged')]);

    expect(kinds(recorded)).toEqual(['applied', 'conflict']);
    expect(recorded.change?.state.amount).toBe(100);
    expect(recorded.change?.newConflicts.length).toBe(1);
  });

  test('is kept once, however often it comes', () => {
    const first = decideRecord(recordOf(incoming('a')), [other('forged'), other('forged')]);
    expect(kinds(first)).toEqual(['conflict', 'conflict']);
    expect(first.change?.newConflicts.length).toBe(1);

    const record = recordOf(incoming('a'), other('forged'));
    const again = decideRecord(record, [other('forged')]);
    expect(kinds(again)).toEqual(['conflict']);
    expect(again.change).toBeUndefined();
  });

  test('leaves the event itself a duplicate', () => {
    const record = recordOf(incoming('a'), other('forged'));

    expect(kinds(decideRecord(record, [incoming('a')]))).toEqual(['duplicate']);
  });

  test('is kept up to a number, over all batches, and told in any case', () => {
    const limits = { ...recordLimits, conflictsMax: 3 };
    const record = recordOf(incoming('a'), other('1'), other('2'));

    const recorded = decideRecord(record, [other('3'), other('4'), other('5')], limits);

    expect(kinds(recorded)).toEqual(['conflict', 'conflict', 'conflict']);
    expect(recorded.change?.newConflicts.map(({ fingerprint }) => fingerprint)).toEqual(['3']);
  });
});

test('nothing incoming is nothing to write', () => {
  expect(decideRecord(undefined, [])).toEqual({ decisions: [], change: undefined });
  expect(decideRecord(recordOf(incoming('a')), [])).toEqual({ decisions: [], change: undefined });
});
