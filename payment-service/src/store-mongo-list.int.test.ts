import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testMongoUri } from '../../test/harness.ts';
import type { IncomingEvent } from './domain/record.ts';
import type { ListFilter, TransactionStore } from './store.ts';
import { changeOf, eventOf, openStore } from './testing/fixture.ts';

let store: TransactionStore;
const at = (ms: number) => new Date(1_767_225_600_000 + ms);
const insert = (when: Date, ...events: IncomingEvent[]) =>
  store.writeChanges(
    events.map((event) => changeOf(undefined, event)),
    when,
  );

/** 45 transactions, nine in each of five milliseconds. */
const many = Array.from({ length: 45 }, (_, index) => ({
  ms: Math.floor(index / 9),
  event: eventOf({
    txId: `many:${index}`,
    source: index % 2 === 0 ? 'many' : 'many-odd',
    action: index % 3 === 0 ? 'APPROVED' : 'NEW',
    amount: index,
  }),
}));

beforeAll(async () => {
  store = await openStore(testMongoUri());
  for (const { ms, event } of many) await insert(at(ms), event);
});
afterAll(() => store.close());

async function pages(
  filter: Omit<ListFilter, 'after'>,
  between?: () => Promise<unknown>,
): Promise<string[][]> {
  const found: string[][] = [];
  let after: ListFilter['after'];
  do {
    const { items, next } = await store.listTransactions({ ...filter, after });
    found.push(items.map(({ txId }) => txId));
    after = next;
    await between?.();
  } while (after !== undefined);
  return found;
}

const newestFirst = many.map(({ event }) => event.txId).toReversed();
const where = (keep: (index: number) => boolean) =>
  newestFirst.filter((txId) => keep(Number(txId.slice('many:'.length))));

describe('a list', () => {
  test.each([1, 2, 7, 9, 44, 45, 100])('pages by %p without a gap and without doubling', async (limit) => {
    const found = await pages({ limit });

    expect(found.flat()).toEqual(newestFirst);
    expect(found).toHaveLength(Math.ceil(45 / limit));
  });

  test.each<[string, Partial<ListFilter>, (index: number) => boolean]>([
    ['status', { status: 'approved' }, (index) => index % 3 === 0 && index > 0],
    ['source', { source: 'many-odd' }, (index) => index % 2 === 1],
    ['action', { action: 'APPROVED' }, (index) => index % 3 === 0],
    ['from, which is part of it', { from: at(3) }, (index) => index >= 27],
    ['to, which is not', { to: at(3) }, (index) => index < 27],
    ['both', { from: at(1), to: at(2) }, (index) => index >= 9 && index < 18],
    ['an empty time', { from: at(2), to: at(2) }, () => false],
    [
      'all of them',
      { status: 'approved', source: 'many', action: 'APPROVED', from: at(1), to: at(4) },
      (index) => index % 6 === 0 && index >= 9 && index < 36,
    ],
  ])('filters by %s, over several pages', async (_, filter, keep) => {
    expect((await pages({ limit: 4, ...filter })).flat()).toEqual(where(keep));
  });

  test('is not disturbed by transactions that come while it is read', async () => {
    let newcomers = 0;
    const found = await pages({ limit: 10, source: 'many' }, async () => {
      newcomers += 1;
      await insert(at(100 + newcomers), eventOf({ source: 'many', txId: `newcomer:${newcomers}` }));
    });

    expect(found.flat()).toEqual(where((index) => index % 2 === 0));
  });

  test('leaves out the histories', async () => {
    const { items } = await store.listTransactions({ limit: 1 });

    expect(items[0]).not.toHaveProperty('actionHistory');
    expect(items[0]).not.toHaveProperty('conflicts');
    expect(items[0]).toMatchObject({ status: 'new', version: 1, anomalies: [] });
  });
});
