import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { foldTransaction } from '../../payment-service/src/domain/transaction.ts';
import type { RecordedEntry } from './history.ts';
import { modelOf } from './model.ts';

const at = Date.parse('2026-01-02T03:04:05.678Z');
const said = fc.record({
  action: fc.constantFrom('NEW', 'DRAFT', 'UPDATE', 'APPROVED'),
  amount: fc.integer({ min: 1, max: 1_000 }),
  // Few times and few places, so that many events are at the same time.
  afterMs: fc.integer({ min: 0, max: 3 }),
});
const entries = fc.array(said, { minLength: 1, maxLength: 12 }).map((list) =>
  list.map(
    ({ action, amount, afterMs }, index): RecordedEntry => ({
      ...{ n: index + 1, action, amount, eventId: `e${index}`, note: `note ${index}`, source: 'x-payment' },
      ...{ at: at + afterMs, storedAt: at + afterMs, receivedAt: at, sequence: index + 1 },
    }),
  ),
);

describe('the model', () => {
  test('says of every history what the product says of it', () => {
    fc.assert(
      fc.property(entries, (list) => {
        const {
          amounts,
          anomalies,
          currency: _none,
          ...state
        } = foldTransaction(
          list.map((entry) => ({
            ...entry,
            action: entry.action as 'NEW' | 'DRAFT' | 'UPDATE' | 'APPROVED',
            at: new Date(entry.at),
          })),
        );
        const codes = (found: typeof anomalies | ReturnType<typeof modelOf>['anomalies']) =>
          found.map(({ n, code }) => `${n} ${code}`).toSorted();

        expect({ ...state, captured: amounts.captured, anomalies: codes(anomalies) }).toEqual({
          ...modelOf(list),
          anomalies: codes(modelOf(list).anomalies),
        });
      }),
      { numRuns: 2_000 },
    );
  });

  test('does not depend on the order in which it reads', () => {
    fc.assert(
      fc.property(entries, (list) => {
        expect(modelOf(list.toReversed())).toEqual(modelOf(list));
      }),
    );
  });
});
