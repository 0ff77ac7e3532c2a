import { describe, expect, test } from '@jest/globals';
import {
  decideRecord,
  type HistoryEntry,
  type IncomingEvent,
  recordLimits,
  type TransactionRecord,
} from './record.ts';

const mebibyte = 1024 * 1024;
const at = new Date(Date.UTC(2026, 0, 1));

const incoming = (eventId: string, event: Partial<IncomingEvent> = {}): IncomingEvent => ({
  txId: 'stripe:pi_1',
  eventId,
  fingerprint: `content of ${eventId}`,
  action: 'UPDATE',
  amount: 100,
  note: '',
  source: 'stripe',
  receivedAt: at,
  storedAt: at,
  sequence: 1,
  deliveries: 1,
  ...event,
});

const many = (count: number, event: Partial<IncomingEvent> = {}) =>
  Array.from({ length: count }, (_, index) => incoming(`event-${index + 1}`, event));

const holding = (events: readonly IncomingEvent[]): TransactionRecord => ({
  txId: 'stripe:pi_1',
  version: 1,
  actionHistory: events.map(({ txId: _, ...fact }, index): HistoryEntry => ({ n: index + 1, ...fact, at })),
  conflicts: [],
});

const kinds = ({ decisions }: ReturnType<typeof decideRecord>) => decisions.map(({ kind }) => kind);

describe('a full history', () => {
  const limits = { ...recordLimits, historyMax: 3 };

  test('refuses the event after the last, with what it holds', () => {
    const { decisions, change } = decideRecord(holding(many(3)), [incoming('x')], limits);

    expect(decisions).toEqual([
      {
        kind: 'dead-letter',
        reason: 'history-full',
        detail: expect.stringMatching(/^the history holds 3 events, in up to \d+ bytes$/),
      },
    ]);
    expect(change).toBeUndefined();
  });

  test('takes what fits of a batch and refuses the rest', () => {
    const recorded = decideRecord(holding(many(1)), [incoming('x'), incoming('y'), incoming('z')], limits);

    expect(kinds(recorded)).toEqual(['applied', 'applied', 'dead-letter']);
    expect(recorded.change?.newEntries.map(({ n, eventId }) => [n, eventId])).toEqual([
      [2, 'x'],
      [3, 'y'],
    ]);
  });

  test('still knows what it holds: a duplicate is no dead letter', () => {
    const recorded = decideRecord(holding(many(3)), [incoming('event-2'), incoming('x')], limits);

    expect(kinds(recorded)).toEqual(['duplicate', 'dead-letter']);
  });

  test('still keeps a conflict', () => {
    const recorded = decideRecord(holding(many(3)), [incoming('event-2', { fingerprint: '?' })], limits);

    expect(kinds(recorded)).toEqual(['conflict']);
    expect(recorded.change?.newConflicts.length).toBe(1);
  });

  test('does not remember the event it refused: it is refused again', () => {
    const recorded = decideRecord(holding(many(3)), [incoming('x'), incoming('x')], limits);

    expect(kinds(recorded)).toEqual(['dead-letter', 'dead-letter']);
  });
});

describe('a document near its limit', () => {
  const limits = { ...recordLimits, documentBytesMax: 10_000 };
  const long = { note: 'n'.repeat(1_000) };

  test('refuses the event that would pass it, and takes a shorter one', () => {
    const recorded = decideRecord(holding(many(2, long)), [incoming('x', long), incoming('y')], limits);

    expect(kinds(recorded)).toEqual(['dead-letter', 'applied']);
  });

  test('counts what the same batch adds', () => {
    const recorded = decideRecord(undefined, many(4, long), limits);

    expect(kinds(recorded)).toEqual(['applied', 'applied', 'dead-letter', 'dead-letter']);
  });

  test('counts the conflicts as well', () => {
    const conflicts = many(4, { ...long, fingerprint: '?' });

    const together = decideRecord(holding(many(4)), [...conflicts.slice(0, 1), incoming('x', long)], limits);
    expect(kinds(together)).toEqual(['conflict', 'dead-letter']);

    const record = holding(many(4));
    const one = decideRecord(record, conflicts.slice(0, 1), limits).change?.newConflicts ?? [];
    const later = decideRecord({ ...record, conflicts: one }, [incoming('x', long)], limits);
    expect(kinds(later)).toEqual(['dead-letter']);
  });

  test('tells a conflict that it has no room for, and does not keep it', () => {
    const recorded = decideRecord(
      holding(many(2, long)),
      [incoming('event-1', { ...long, fingerprint: '?' })],
      limits,
    );

    expect(kinds(recorded)).toEqual(['conflict']);
    expect(recorded.change).toBeUndefined();
  });
});

describe('the shipped limits', () => {
  test('give room for 10,000 events with notes of a hundred characters', () => {
    const full = holding(many(9_999, { note: 'n'.repeat(100) }));

    const recorded = decideRecord(full, [incoming('x'), incoming('y')]);

    expect(kinds(recorded)).toEqual(['applied', 'dead-letter']);
  });

  test('keep the largest document below the 16 MiB of MongoDB', () => {
    // Measured with bson: 781 bytes of other fields at their longest, 97 of anomalies, 3 for each unit of the note.
    const largestEntry = 781 + 97 + 3 * 1_000;
    const events = many(recordLimits.historyMax, { note: '€'.repeat(1_000) });

    const taken = kinds(decideRecord(undefined, events)).filter((kind) => kind === 'applied').length;

    expect(taken).toBeGreaterThan(3_000);
    expect(taken * largestEntry + recordLimits.conflictsMax * (largestEntry + 50)).toBeLessThan(
      14 * mebibyte,
    );
  });
});
