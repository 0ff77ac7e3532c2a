import { describe, expect, test } from '@jest/globals';
import { type Action, foldTransaction, type RecordedEvent } from './transaction.ts';

const start = Date.UTC(2026, 0, 1);
const max = Number.MAX_SAFE_INTEGER;

/** `CAPTURED 60 first`: an action, an amount, and what it is about; a second apart, in this order. */
const events = (...lines: string[]): RecordedEvent[] =>
  lines.map((line, index) => {
    const [action, amount, reference] = line.split(' ');
    return {
      n: index + 1,
      eventId: `event-${index + 1}`,
      action: action as Action,
      amount: Number(amount),
      note: '',
      source: 'stripe',
      reference,
      at: new Date(start + index * 1_000),
      sequence: index + 1,
    };
  });

const fold = (...lines: string[]) => foldTransaction(events(...lines));
const none = { authorized: 0, captured: 0, refunded: 0, disputed: 0 };

describe('captures', () => {
  test('in parts add up, and leave the transaction what it was worth', () => {
    expect(fold('AUTHORIZED 100', 'CAPTURED 60 first', 'CAPTURED 40 second')).toMatchObject({
      status: 'approved',
      amount: 100,
      amounts: { ...none, authorized: 100, captured: 100 },
      anomalies: [],
    });
  });

  test('of one reference replace each other', () => {
    expect(fold('AUTHORIZED 100', 'CAPTURED 60 first', 'CAPTURED 75 first').amounts.captured).toBe(75);
  });

  test('that failed count no more', () => {
    expect(fold('AUTHORIZED 100', 'CAPTURED 60 first', 'CAPTURED 0 first')).toMatchObject({
      status: 'authorized',
      amounts: { ...none, authorized: 100 },
      anomalies: [],
    });
  });

  test('above what was authorized are flagged and counted', () => {
    expect(fold('AUTHORIZED 100', 'CAPTURED 60 first', 'CAPTURED 41 second')).toMatchObject({
      status: 'approved',
      amounts: { ...none, authorized: 100, captured: 101 },
      anomalies: [{ n: 3, code: 'over-captured' }],
    });
  });

  test('are not flagged when the authorization is only later in the order', () => {
    expect(fold('CAPTURED 100', 'AUTHORIZED 100').anomalies).toEqual([]);
  });

  test('are not flagged when a higher authorization replaces the first', () => {
    expect(fold('AUTHORIZED 100', 'CAPTURED 150', 'AUTHORIZED 150')).toMatchObject({
      amounts: { ...none, authorized: 150, captured: 150 },
      anomalies: [],
    });
  });

  test('too many are flagged at the last that counts, not at one that failed', () => {
    expect(
      fold('AUTHORIZED 100', 'CAPTURED 150 first', 'CAPTURED 9 second', 'CAPTURED 0 second').anomalies,
    ).toEqual([{ n: 2, code: 'over-captured' }]);
  });
});

describe('approvals', () => {
  test('share the place of the authorization and the capture with the same reference', () => {
    expect(fold('AUTHORIZED 100', 'CAPTURED 100', 'APPROVED 100')).toMatchObject({
      amounts: { ...none, authorized: 100, captured: 100 },
      anomalies: [],
    });
  });

  test('of 0 take back what was approved', () => {
    expect(fold('NEW 100', 'APPROVED 100', 'APPROVED 0')).toMatchObject({
      status: 'new',
      action: 'APPROVED',
      amount: 0,
      amounts: none,
      anomalies: [],
    });
  });

  test('let describing events have effect again once they are taken back', () => {
    expect(fold('NEW 100', 'APPROVED 100', 'APPROVED 0', 'UPDATE 80')).toMatchObject({
      status: 'updated',
      amount: 80,
      anomalies: [],
    });
  });

  test('that come a second time are flagged, also after the first was taken back', () => {
    expect(fold('APPROVED 100', 'APPROVED 100').anomalies).toEqual([{ n: 2, code: 'approved-again' }]);
    expect(fold('APPROVED 100', 'APPROVED 0', 'APPROVED 90')).toMatchObject({
      amounts: { ...none, authorized: 90, captured: 90 },
      anomalies: [{ n: 3, code: 'approved-again' }],
    });
  });

  test('of 0 are no first approval', () => {
    expect(fold('APPROVED 0', 'APPROVED 100').anomalies).toEqual([]);
  });
});

describe('refunds', () => {
  test('in two parts refund in part, then all', () => {
    const first = ['APPROVED 100', 'REFUNDED 30 first'];

    expect(fold(...first)).toMatchObject({ status: 'partially_refunded', amount: 100, anomalies: [] });
    expect(fold(...first, 'REFUNDED 70 second')).toMatchObject({
      status: 'refunded',
      amount: 100,
      amounts: { ...none, authorized: 100, captured: 100, refunded: 100 },
      anomalies: [],
    });
  });

  test('of equal amounts are two when their references are two', () => {
    expect(fold('APPROVED 100', 'REFUNDED 30 first', 'REFUNDED 30 second').amounts.refunded).toBe(60);
  });

  test('said again with the same reference are one', () => {
    expect(fold('APPROVED 100', 'REFUNDED 30 first', 'REFUNDED 30 first').amounts.refunded).toBe(30);
  });

  test('that failed count no more', () => {
    expect(fold('APPROVED 100', 'REFUNDED 100 first', 'REFUNDED 0 first')).toMatchObject({
      status: 'approved',
      amounts: { ...none, authorized: 100, captured: 100 },
      anomalies: [],
    });
  });

  test('above what was captured are flagged and counted', () => {
    expect(fold('APPROVED 100', 'REFUNDED 60 first', 'REFUNDED 60 second')).toMatchObject({
      status: 'refunded',
      amounts: { ...none, authorized: 100, captured: 100, refunded: 120 },
      anomalies: [{ n: 3, code: 'over-refunded' }],
    });
  });

  test('are not flagged when the capture is only later in the order', () => {
    expect(fold('REFUNDED 100', 'APPROVED 100')).toMatchObject({ status: 'refunded', anomalies: [] });
  });

  test('too many are flagged at the last that counts', () => {
    expect(
      fold('APPROVED 100', 'REFUNDED 20 first', 'REFUNDED 150 second', 'REFUNDED 10 first').anomalies,
    ).toEqual([{ n: 4, code: 'over-refunded' }]);
    expect(
      fold('APPROVED 100', 'REFUNDED 150 first', 'REFUNDED 20 second', 'REFUNDED 0 second').anomalies,
    ).toEqual([{ n: 2, code: 'over-refunded' }]);
  });

  test('leave a draft after them without effect', () => {
    expect(fold('APPROVED 100', 'REFUNDED 100', 'DRAFT 5')).toMatchObject({
      status: 'refunded',
      amount: 100,
      anomalies: [{ n: 3, code: 'after-approved' }],
    });
  });
});

describe('cancellations', () => {
  test('before any capture cancel what was authorized', () => {
    expect(fold('AUTHORIZED 100', 'CANCELED 100')).toMatchObject({
      status: 'canceled',
      amounts: { ...none, authorized: 100 },
      anomalies: [],
    });
  });

  test('after a capture are flagged and leave it approved', () => {
    expect(fold('APPROVED 100', 'CANCELED 100')).toMatchObject({
      status: 'approved',
      anomalies: [{ n: 2, code: 'canceled-after-capture' }],
    });
  });

  test('after a capture that failed are not flagged', () => {
    expect(fold('AUTHORIZED 100', 'CAPTURED 100', 'CAPTURED 0', 'CANCELED 100')).toMatchObject({
      status: 'canceled',
      anomalies: [],
    });
  });

  test('that failed count no more, and are never flagged', () => {
    expect(fold('AUTHORIZED 100', 'CANCELED 100', 'CANCELED 0').status).toBe('authorized');
    expect(fold('APPROVED 100', 'CANCELED 0').anomalies).toEqual([]);
  });

  test('give way to money that was captured after all', () => {
    expect(fold('AUTHORIZED 100', 'CANCELED 100', 'CAPTURED 100')).toMatchObject({
      status: 'approved',
      anomalies: [],
    });
  });
});

describe('disputes', () => {
  test('are summed by reference and change neither status nor amount', () => {
    expect(fold('APPROVED 100', 'DISPUTED 60 first', 'DISPUTED 40 second', 'DISPUTED 0 first')).toMatchObject(
      {
        status: 'approved',
        action: 'APPROVED',
        amount: 100,
        amounts: { ...none, authorized: 100, captured: 100, disputed: 40 },
        anomalies: [],
      },
    );
  });
});

describe('sums beyond the largest safe integer', () => {
  test.each(['AUTHORIZED', 'CAPTURED', 'REFUNDED', 'DISPUTED'] as const)(
    'stay there and are flagged at the last %s',
    (action) => {
      const state = fold(`${action} ${max} first`, `${action} 1 second`, `${action} 0 third`);

      expect(Object.values(state.amounts)).toContain(max);
      expect(state.anomalies).toContainEqual({ n: 2, code: 'amount-overflow' });
    },
  );

  test('are flagged for each sum that an approval raises', () => {
    expect(fold(`APPROVED ${max} first`, 'APPROVED 1 second').anomalies).toEqual([
      { n: 2, code: 'approved-again' },
      { n: 2, code: 'amount-overflow' },
      { n: 2, code: 'amount-overflow' },
    ]);
  });

  test('are not reached by the largest amount itself', () => {
    expect(fold(`APPROVED ${max}`, `REFUNDED ${max}`)).toMatchObject({ status: 'refunded', anomalies: [] });
  });
});
