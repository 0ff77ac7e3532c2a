import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Action, compareEvents, foldTransaction, type RecordedEvent } from './transaction.ts';

const start = Date.UTC(2026, 0, 1);

/** Events in the order given, a millisecond apart; what a test does not care about is filled in. */
const events = (...given: ({ action: Action } & Partial<RecordedEvent>)[]): RecordedEvent[] =>
  given.map((event, index) => ({
    n: index + 1,
    eventId: `event-${index + 1}`,
    amount: 100,
    note: `note ${index + 1}`,
    source: 'x-payment',
    at: new Date(start + index),
    sequence: index + 1,
    ...event,
  }));

const fold = (...given: Parameters<typeof events>) => foldTransaction(events(...given));

/** Three times, three sequences and few ids, so that each step of the order has to settle something. */
const anyEvents = fc
  .uniqueArray(
    fc.record({
      eventId: fc.integer({ min: 10, max: 99 }).map((number) => `event-${number}`),
      action: fc.constantFrom<Action[]>(
        ...(['NEW', 'DRAFT', 'UPDATE', 'APPROVED', 'AUTHORIZED'] as const),
        ...(['DECLINED', 'CAPTURED', 'CANCELED', 'REFUNDED', 'DISPUTED'] as const),
      ),
      amount: fc.constantFrom(0, 1, 40, 100, Number.MAX_SAFE_INTEGER),
      note: fc.constantFrom('', 'one', 'two'),
      source: fc.constantFrom('x-payment', 'nats'),
      currency: fc.constantFrom(undefined, 'EUR', 'XOF'),
      reference: fc.constantFrom(undefined, 'first', 'second'),
      at: fc.nat(2).map((ms) => new Date(start + ms)),
      sequence: fc.integer({ min: 1, max: 3 }),
    }),
    { selector: ({ eventId }) => eventId, minLength: 1, maxLength: 10 },
  )
  .map((list): RecordedEvent[] => list.map((event, index) => ({ ...event, n: index + 1 })));

const withShuffled = anyEvents.chain((list) =>
  fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
);

/** The state with its anomalies told by event and not by `n`, which differs with the order of arrival. */
function foldAsArrived(arrived: readonly RecordedEvent[]) {
  const numbered = arrived.map((event, index) => ({ ...event, n: index + 1 }));
  const { anomalies, ...state } = foldTransaction(numbered);
  return { ...state, anomalies: anomalies.map(({ n, code }) => `${numbered[n - 1]?.eventId} ${code}`) };
}

function* permutations<Item>(items: readonly Item[]): Generator<Item[]> {
  if (items.length === 0) yield [];
  for (const [index, item] of items.entries()) {
    for (const rest of permutations(items.toSpliced(index, 1))) yield [item, ...rest];
  }
}

describe('the order of events', () => {
  test('does not depend on the order of the list', () => {
    fc.assert(
      fc.property(withShuffled, ([list, shuffled]) => {
        expect(foldTransaction(shuffled)).toEqual(foldTransaction(list));
      }),
      { numRuns: 500 },
    );
  });

  test('does not depend on the order of arrival', () => {
    fc.assert(
      fc.property(withShuffled, ([list, arrived]) => {
        expect(foldAsArrived(arrived)).toEqual(foldAsArrived(list));
      }),
      { numRuns: 500 },
    );
  });

  test('is the same for all 720 arrivals of six events of one millisecond', () => {
    const at = new Date(start);
    const list = events(
      { action: 'UPDATE', at, currency: 'EUR' },
      { action: 'NEW', at },
      { action: 'APPROVED', at, amount: 60 },
      { action: 'UPDATE', at, currency: 'XOF' },
      { action: 'REFUNDED', at, amount: 70 },
      { action: 'NEW', at, amount: 5 },
    );
    const expected = foldAsArrived(list);

    for (const arrived of permutations(list)) expect(foldAsArrived(arrived)).toEqual(expected);
  });

  test('is total: no two events are equal in it, and it never contradicts itself', () => {
    fc.assert(
      fc.property(anyEvents, (list) => {
        for (const left of list) {
          for (const right of list) {
            const sign = Math.sign(compareEvents(left, right));
            expect(sign === 0).toBe(left === right);
            // `+ 0` makes 0 of -0.
            expect(Math.sign(compareEvents(right, left)) + 0).toBe(-sign + 0);
          }
        }
      }),
    );
  });

  test('puts NEW first, then goes by time, then by sequence, then by event id', () => {
    const [a, b, c, d, e] = events(
      { action: 'UPDATE', eventId: 'b', at: new Date(start + 1), sequence: 2 },
      { action: 'UPDATE', eventId: 'a', at: new Date(start + 1), sequence: 2 },
      { action: 'UPDATE', eventId: 'z', at: new Date(start + 1), sequence: 1 },
      { action: 'UPDATE', eventId: 'y', at: new Date(start), sequence: 9 },
      { action: 'NEW', eventId: 'x', at: new Date(start + 99), sequence: 99 },
    );

    expect([a, b, c, d, e].flatMap((event) => event ?? []).sort(compareEvents)).toEqual([e, d, c, b, a]);
  });

  test('changes neither the list that is folded nor its events', () => {
    const list = events({ action: 'UPDATE' }, { action: 'NEW' }).map((event) => Object.freeze(event));

    foldTransaction(Object.freeze(list));

    expect(list.map(({ action }) => action)).toEqual(['UPDATE', 'NEW']);
  });

  test('counts a later time over a later arrival', () => {
    const late = { action: 'UPDATE', amount: 250, at: new Date(start + 500) } as const;
    const early = { action: 'UPDATE', amount: 100, at: new Date(start + 400) } as const;

    expect(fold({ action: 'NEW' }, late, early)).toMatchObject({ amount: 250, note: 'note 2' });
  });

  test('goes by the sequence for two updates of one millisecond', () => {
    const at = new Date(start);

    expect(
      fold(
        { action: 'UPDATE', amount: 1, at, sequence: 8 },
        { action: 'UPDATE', amount: 2, at, sequence: 7 },
      ),
    ).toMatchObject({ amount: 1 });
  });
});

describe('foldTransaction', () => {
  test('refuses an empty list', () => {
    expect(() => foldTransaction([])).toThrow(RangeError);
  });

  test('tells the whole state of a story', () => {
    const story = fold(
      { action: 'NEW', amount: 100, currency: 'EUR' },
      { action: 'DRAFT', amount: 110 },
      { action: 'UPDATE', amount: 250, note: 'two hundred and fifty' },
      { action: 'APPROVED', amount: 250, note: 'done' },
      { action: 'DRAFT', amount: 1, note: 'too late' },
    );

    expect(story).toEqual({
      source: 'x-payment',
      status: 'approved',
      action: 'APPROVED',
      amount: 250,
      note: 'done',
      currency: 'EUR',
      amounts: { authorized: 250, captured: 250, refunded: 0, disputed: 0 },
      hasNew: true,
      anomalies: [{ n: 5, code: 'after-approved' }],
    });
  });

  test('takes an update before its NEW at once, and knows that the NEW is missing', () => {
    expect(fold({ action: 'UPDATE', amount: 250 })).toMatchObject({
      status: 'updated',
      amount: 250,
      hasNew: false,
      anomalies: [],
    });
  });

  test('keeps the update when its NEW comes after it, with a later time even', () => {
    expect(fold({ action: 'UPDATE', amount: 250 }, { action: 'NEW', amount: 100 })).toMatchObject({
      status: 'updated',
      action: 'UPDATE',
      amount: 250,
      hasNew: true,
      anomalies: [],
    });
  });

  test('works without any NEW', () => {
    expect(fold({ action: 'DRAFT' }, { action: 'APPROVED' })).toMatchObject({
      status: 'approved',
      hasNew: false,
      anomalies: [],
    });
  });

  test('gives a second NEW no effect, whatever it says', () => {
    const state = fold(
      { action: 'NEW', amount: 100, note: 'first', currency: 'EUR' },
      { action: 'NEW', amount: 999, note: 'second', currency: 'XOF' },
    );

    expect(state).toMatchObject({ amount: 100, note: 'first', currency: 'EUR', status: 'new' });
    expect(state.anomalies).toEqual([{ n: 2, code: 'second-new' }]);
  });

  test('flags every NEW but the earliest, though the earliest comes last', () => {
    const state = fold(
      { action: 'NEW', at: new Date(start + 2) },
      { action: 'NEW', at: new Date(start + 3) },
      { action: 'NEW', at: new Date(start + 1), note: 'earliest' },
    );

    expect(state.note).toBe('earliest');
    expect(state.anomalies).toEqual([
      { n: 1, code: 'second-new' },
      { n: 2, code: 'second-new' },
    ]);
  });

  test('names the source of the first event', () => {
    expect(fold({ action: 'UPDATE', source: 'nats' }, { action: 'NEW', source: 'x-payment' }).source).toBe(
      'x-payment',
    );
  });
});
