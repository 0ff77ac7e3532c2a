import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Action, foldTransaction, type RecordedEvent } from './transaction.ts';

/**
 * Row first, column second, each of 100 about the transaction itself: the status, then each anomaly with the
 * place of its event. 2n second-new, aa after-approved, ag approved-again, cc canceled-after-capture,
 * oc over-captured, or over-refunded. Worked out by hand from the sentences of the design.
 */
const pairs = `
            NEW       DRAFT        UPDATE       DECLINED     AUTHORIZED APPROVED CAPTURED  CANCELED     REFUNDED  DISPUTED
 NEW        new:2n2   draft        updated      declined     authorized approved approved:oc2 canceled  new:or2   new
 DRAFT      draft     draft        updated      declined     authorized approved approved:oc2 canceled  draft:or2 draft
 UPDATE     updated   draft        updated      declined     authorized approved approved:oc2 canceled  updated:or2 updated
 DECLINED   declined  draft        updated      declined     authorized approved approved:oc2 canceled  declined:or2 declined
 AUTHORIZED authorized authorized  authorized   authorized   authorized approved approved  canceled     authorized:or2 authorized
 APPROVED   approved  approved:aa2 approved:aa2 approved:aa2 approved approved:ag2 approved approved:cc2 refunded approved
 CAPTURED   approved:oc1 approved:aa2,oc1 approved:aa2,oc1 approved:aa2,oc1 approved approved approved:oc2 approved:cc2,oc1 refunded:oc1 approved:oc1
 CANCELED   canceled  canceled     canceled     canceled     canceled   approved approved:oc2 canceled  canceled:or2 canceled
 REFUNDED   new:or1   draft:or1    updated:or1  declined:or1 authorized:or1 refunded refunded:oc2 canceled:or1 new:or2 new:or1
 DISPUTED   new       draft        updated      declined     authorized approved approved:oc2 canceled  new:or2   new
`;
/** What each action adds to; in every pair a sum is 100 when either event moved it, in whichever order. */
const moved = { AUTHORIZED: 'a', APPROVED: 'ac', CAPTURED: 'c', REFUNDED: 'r', DISPUTED: 'd' };

const codes: Record<string, string> = {
  '2n': 'second-new',
  aa: 'after-approved',
  ag: 'approved-again',
  cc: 'canceled-after-capture',
  oc: 'over-captured',
  or: 'over-refunded',
};

type Said = { action: Action; amount: number; reference?: string | undefined };

const recorded = (said: readonly Said[]): RecordedEvent[] =>
  said.map((event, index) => ({
    n: index + 1,
    eventId: `event-${index + 1}`,
    note: '',
    source: 'x-payment',
    at: new Date(Date.UTC(2026, 0, 1) + index),
    sequence: index + 1,
    ...event,
  }));

const flags = (anomalies: readonly { n: number; code: string }[]) =>
  anomalies.map(({ n, code }) => `${code} ${n}`).sort();

const lines = pairs.trim().split('\n');
const actions = (lines[0] ?? '').trim().split(/\s+/) as Action[];
const cells = lines.slice(1).flatMap((line) => {
  const [first, ...row] = line.trim().split(/\s+/);
  return row.map((cell, column) => ({ first: first as Action, second: actions[column] as Action, cell }));
});

describe('every pair of actions', () => {
  test('is in the table', () => {
    expect(new Set(cells.map(({ first, second }) => `${first} ${second}`)).size).toBe(100);
    expect(cells.length).toBe(100);
  });

  test.each(cells)('$first, then $second: $cell', ({ first, second, cell }) => {
    const [status, marks = ''] = cell.split(':');
    const sums = [first, second].map((action) => (moved as Record<string, string>)[action] ?? '').join('');
    const sumOf = (letter: string) => (sums.includes(letter) ? 100 : 0);

    const state = foldTransaction(
      recorded([
        { action: first, amount: 100 },
        { action: second, amount: 100 },
      ]),
    );

    expect(state.status).toBe(status);
    expect(flags(state.anomalies)).toEqual(
      (marks.match(/[a-z2]{2}\d/g) ?? []).map((mark) => `${codes[mark.slice(0, 2)]} ${mark.slice(2)}`).sort(),
    );
    expect(state.amounts).toEqual({
      authorized: sumOf('a'),
      captured: sumOf('c'),
      refunded: sumOf('r'),
      disputed: sumOf('d'),
    });
  });
});

// The sentences of the design, each asked of the whole list; nothing is carried from event to event as in the fold.
const describing: Action[] = ['NEW', 'DRAFT', 'UPDATE', 'DECLINED'];
const authorizing: Action[] = ['AUTHORIZED', 'APPROVED'];
const capturing: Action[] = ['CAPTURED', 'APPROVED'];

const about = (event: Said) => event.reference ?? 'the transaction';
/** Per action and reference the last amount said counts; 0 is failed or reversed. */
const counted = (events: readonly RecordedEvent[], about_: readonly Action[]) =>
  events
    .filter(({ action }) => about_.includes(action))
    .filter((event, place, all) => !all.slice(place + 1).some((later) => about(later) === about(event)))
    .filter(({ amount }) => amount > 0);
const sumOf = (events: readonly RecordedEvent[], about_: readonly Action[]) =>
  counted(events, about_).reduce((sum, { amount }) => sum + amount, 0);

function sentences(arrived: readonly RecordedEvent[]) {
  const events = [...arrived].sort((a, b) => (b.action === 'NEW' ? 1 : 0) - (a.action === 'NEW' ? 1 : 0));
  const capturedBefore = (event: RecordedEvent) => sumOf(events.slice(0, events.indexOf(event)), capturing);
  const news = events.filter(({ action }) => action === 'NEW');
  const tooLate = events.filter((event) => describing.includes(event.action) && capturedBefore(event) > 0);
  const effective = events.filter((event) => !news.slice(1).includes(event) && !tooLate.includes(event));

  const amounts = {
    authorized: sumOf(events, authorizing),
    captured: sumOf(events, capturing),
    refunded: sumOf(events, ['REFUNDED']),
    disputed: sumOf(events, ['DISPUTED']),
  };
  const { authorized, captured, refunded } = amounts;
  const words = { NEW: 'new', DRAFT: 'draft', UPDATE: 'updated', DECLINED: 'declined' } as const;
  const lastDescribed = effective.findLast(({ action }) => describing.includes(action));
  const status = [
    { holds: captured > 0 && refunded >= captured, status: 'refunded' },
    { holds: captured > 0 && refunded > 0, status: 'partially_refunded' },
    { holds: captured > 0, status: 'approved' },
    { holds: sumOf(events, ['CANCELED']) > 0, status: 'canceled' },
    { holds: authorized > 0, status: 'authorized' },
    { holds: true, status: words[(lastDescribed?.action ?? 'NEW') as keyof typeof words] },
  ].find(({ holds }) => holds)?.status;

  const flagged = [
    ...news.slice(1).map(({ n }) => `second-new ${n}`),
    ...tooLate.map(({ n }) => `after-approved ${n}`),
    ...events
      .filter(({ action, amount }) => action === 'APPROVED' && amount > 0)
      .slice(1)
      .map(({ n }) => `approved-again ${n}`),
    ...events
      .filter((event) => event.action === 'CANCELED' && event.amount > 0 && capturedBefore(event) > 0)
      .map(({ n }) => `canceled-after-capture ${n}`),
    ...(captured > authorized ? [`over-captured ${counted(events, capturing).at(-1)?.n}`] : []),
    ...(refunded > captured ? [`over-refunded ${counted(events, ['REFUNDED']).at(-1)?.n}`] : []),
  ];
  const headline =
    effective.findLast(({ action }) => [...describing, ...authorizing].includes(action)) ?? events[0];
  return {
    status,
    amounts,
    flagged: flagged.sort(),
    action: headline?.action,
    amount: headline?.amount,
    hasNew: news.length > 0,
  };
}

function folded(events: readonly RecordedEvent[]) {
  const { status, amounts, anomalies, action, amount, hasNew } = foldTransaction(events);
  return { status, amounts, flagged: flags(anomalies), action, amount, hasNew };
}

describe('every triple of actions', () => {
  const triples = actions.flatMap((first) =>
    actions.flatMap((second) => actions.map((third) => [first, second, third] as const)),
  );
  const amounts = [
    [100, 100, 100],
    [100, 60, 40],
    [60, 100, 0],
    [100, 0, 70],
    [0, 50, 80],
  ];
  const references = [
    [undefined, undefined, undefined],
    [undefined, 'one', 'two'],
    ['one', 'two', 'one'],
    ['one', 'one', undefined],
  ];
  const cases = amounts.flatMap((paid) => references.map((reference) => ({ paid, reference })));

  test.each(cases)('of $paid about $reference is what the sentences say', ({ paid, reference }) => {
    const wrong = triples
      .map((triple) =>
        recorded(triple.map((action, i) => ({ action, amount: paid[i] ?? 0, reference: reference[i] }))),
      )
      .filter((events) => JSON.stringify(folded(events)) !== JSON.stringify(sentences(events)));

    expect(triples.length).toBe(1_000);
    expect(wrong.map((events) => ({ events, is: folded(events), says: sentences(events) }))).toEqual([]);
  });
});

test('a transaction of any length is what the sentences say', () => {
  const said = fc.record({
    action: fc.constantFrom(...actions),
    amount: fc.constantFrom(0, 30, 70, 100),
    reference: fc.constantFrom(undefined, 'one', 'two'),
  });

  fc.assert(
    fc.property(fc.array(said, { minLength: 1, maxLength: 14 }), (list) => {
      const events = recorded(list);
      expect(folded(events)).toEqual(sentences(events));
    }),
    { numRuns: 1_000 },
  );
});
