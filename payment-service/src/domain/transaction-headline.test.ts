import { describe, expect, test } from '@jest/globals';
import { type Action, foldTransaction, type RecordedEvent } from './transaction.ts';

const start = Date.UTC(2026, 0, 1);

const fold = (...given: ({ action: Action } & Partial<RecordedEvent>)[]) =>
  foldTransaction(
    given.map((event, index) => ({
      n: index + 1,
      eventId: `event-${index + 1}`,
      amount: 100,
      note: `note ${index + 1}`,
      source: 'x-payment',
      at: new Date(start + index),
      sequence: index + 1,
      ...event,
    })),
  );

describe('amount, note and action of a transaction', () => {
  test.each(['NEW', 'DRAFT', 'UPDATE', 'DECLINED', 'AUTHORIZED', 'APPROVED'] as const)(
    'are those of %s',
    (action) => {
      expect(fold({ action, amount: 7, note: 'seven' }, { action: 'CAPTURED' })).toMatchObject({
        action,
        amount: 7,
        note: 'seven',
      });
    },
  );

  test('are those of the last such event', () => {
    expect(fold({ action: 'NEW' }, { action: 'AUTHORIZED', amount: 7 }, { action: 'DRAFT' })).toMatchObject({
      action: 'DRAFT',
      amount: 100,
      note: 'note 3',
    });
  });

  test.each(['CAPTURED', 'CANCELED', 'REFUNDED', 'DISPUTED'] as const)('are never those of %s', (action) => {
    expect(fold({ action: 'AUTHORIZED' }, { action, amount: 7 })).toMatchObject({
      action: 'AUTHORIZED',
      amount: 100,
      note: 'note 1',
    });
  });

  test('are not those of an event without effect', () => {
    expect(fold({ action: 'APPROVED' }, { action: 'DECLINED', amount: 7 })).toMatchObject({
      action: 'APPROVED',
      amount: 100,
    });
  });

  test('are those of a second approval, which is flagged and counted', () => {
    expect(fold({ action: 'APPROVED' }, { action: 'APPROVED', amount: 7 })).toMatchObject({
      action: 'APPROVED',
      amount: 7,
    });
  });

  test('are those of the first event where only captures and refunds are known', () => {
    expect(fold({ action: 'CAPTURED', amount: 100 }, { action: 'REFUNDED', amount: 30 })).toMatchObject({
      action: 'CAPTURED',
      amount: 100,
      note: 'note 1',
    });
  });
});

describe('the status where no money stands', () => {
  test.each([
    ['NEW', 'new'],
    ['DRAFT', 'draft'],
    ['UPDATE', 'updated'],
    ['DECLINED', 'declined'],
  ] as const)('is after %s: %s', (action, status) => {
    expect(fold({ action }).status).toBe(status);
  });

  test.each(['REFUNDED', 'DISPUTED'] as const)('is new where %s is all that is known', (action) => {
    expect(fold({ action }).status).toBe('new');
  });

  test.each(['AUTHORIZED', 'APPROVED', 'CAPTURED', 'CANCELED'] as const)(
    'is what described it last when %s is reversed',
    (action) => {
      expect(fold({ action: 'DRAFT' }, { action }, { action, amount: 0 }).status).toBe('draft');
    },
  );

  test('is declined after a decline, and approved when the next attempt succeeds', () => {
    const declined = [{ action: 'NEW' }, { action: 'DECLINED' }] as const;

    expect(fold(...declined).status).toBe('declined');
    expect(fold(...declined, { action: 'APPROVED' })).toMatchObject({ status: 'approved', anomalies: [] });
  });
});

describe('the currency', () => {
  test('is left out where nobody said one', () => {
    expect('currency' in fold({ action: 'NEW' })).toBe(false);
  });

  test('stays when a later event says none', () => {
    expect(fold({ action: 'NEW', currency: 'EUR' }, { action: 'UPDATE' })).toMatchObject({
      currency: 'EUR',
      anomalies: [],
    });
  });

  test('follows the amount when an update changes it, and is flagged', () => {
    const state = fold(
      { action: 'NEW', currency: 'EUR' },
      { action: 'UPDATE', currency: 'XOF', amount: 65_600 },
      { action: 'APPROVED', currency: 'XOF', amount: 65_600 },
    );

    expect(state).toMatchObject({ currency: 'XOF', amount: 65_600 });
    expect(state.anomalies).toEqual([{ n: 2, code: 'currency-changed' }]);
  });

  test.each(['CAPTURED', 'CANCELED', 'REFUNDED', 'DISPUTED'] as const)(
    'is flagged and not renamed by %s in another one',
    (action) => {
      const state = fold(
        { action: 'AUTHORIZED', currency: 'EUR' },
        { action, currency: 'XOF' },
        { action: 'AUTHORIZED', currency: 'EUR' },
      );

      expect(state.currency).toBe('EUR');
      expect(state.anomalies).toContainEqual({ n: 2, code: 'currency-changed' });
      expect(state.anomalies).not.toContainEqual({ n: 3, code: 'currency-changed' });
    },
  );

  test('is that of a capture where nothing else said one', () => {
    expect(
      fold({ action: 'AUTHORIZED' }, { action: 'CAPTURED', currency: 'EUR' }, { action: 'REFUNDED' })
        .currency,
    ).toBe('EUR');
  });

  test('is not changed by an event without effect, which has its own flag', () => {
    const state = fold({ action: 'APPROVED', currency: 'EUR' }, { action: 'UPDATE', currency: 'XOF' });

    expect(state.currency).toBe('EUR');
    expect(state.anomalies).toEqual([{ n: 2, code: 'after-approved' }]);
  });
});
