import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually, testMongoUri } from '../../test/harness.ts';
import type { IncomingEvent } from './domain/record.ts';
import { recordEvents } from './record-events.ts';
import type { TransactionStore } from './store.ts';
import { createMongoStore } from './store-mongo.ts';
import { openapiCheck, startApi, type TestApi } from './testing/api.ts';
import { collectLog, eventOf, openStore } from './testing/fixture.ts';

let store: TransactionStore;
let api: TestApi;
/** Of the example in the OpenAPI document. */
const txId = '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90';
const record = (...events: IncomingEvent[]) => recordEvents({ store, now: () => new Date() }, events);
const minutes = (count: number) => new Date(1_767_225_600_000 + count * 60_000);

beforeAll(async () => {
  store = await openStore(testMongoUri());
  api = await startApi(store);
  await record(
    eventOf({ txId, action: 'UPDATE', amount: 250, occurredAt: minutes(2), note: 'second' }),
    eventOf({ txId, action: 'APPROVED', amount: 250, occurredAt: minutes(3), currency: 'EUR' }),
  );
  await record(
    eventOf({ txId, action: 'NEW', amount: 100, occurredAt: minutes(9), eventId: 'evt-1' }),
    eventOf({ txId, action: 'DRAFT', amount: 1, occurredAt: minutes(4), reference: 'r' }),
    eventOf({ txId, action: 'NEW', amount: 999, eventId: 'evt-1' }),
  );
});
afterAll(async () => {
  await api.close();
  await store.close();
});

describe('GET /transactions/:txId', () => {
  test('answers with the transaction, its history in the order of the facts, each with its anomalies', async () => {
    const { status, headers, body } = await api.call(`/transactions/${txId}`);

    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-cache');
    expect(body).toMatchObject({
      ...{
        txId,
        source: 'x-payment',
        status: 'approved',
        amount: 250,
        currency: 'EUR',
        hasNew: true,
        version: 2,
      },
      amounts: { authorized: 250, captured: 250, refunded: 0, disputed: 0 },
      anomalies: [{ n: 4, code: 'after-approved' }],
      conflicts: [{ eventId: 'evt-1', amount: 999 }],
    });
    const history = body.actionHistory.map(({ n, action, anomalies }: Record<string, unknown>) => [
      n,
      action,
      anomalies,
    ]);
    expect(history).toEqual([
      [3, 'NEW', []],
      [1, 'UPDATE', []],
      [2, 'APPROVED', []],
      [4, 'DRAFT', ['after-approved']],
    ]);
    expect(Object.keys(body)).not.toEqual(expect.arrayContaining(['_id']));
    expect(Object.keys(body)).not.toEqual(expect.arrayContaining(['relayed']));
  });

  test('takes a UUID in any letter case, and another id only as it is', async () => {
    await record(eventOf({ txId: 'stripe:pi_Abc' }));

    expect((await api.call(`/transactions/${txId.toUpperCase()}`)).body.txId).toBe(txId);
    expect((await api.call('/transactions/stripe:pi_Abc')).status).toBe(200);
    expect((await api.call('/transactions/stripe:pi_abc')).status).toBe(404);
  });

  test('answers 404 for a transaction that nobody told of', async () => {
    const { status, body } = await api.call(`/transactions/${randomUUID()}`);

    expect([status, body.code]).toEqual([404, 'unknown-transaction']);
  });

  test.each([
    ['/transactions/a%20b', 'txId'],
    ['/transactions/%24ne', 'txId'],
    [`/transactions/${'a'.repeat(129)}`, 'txId'],
    ['/transactions/a%00', 'txId'],
    [`/transactions/${txId}?wait=31`, 'wait'],
    [`/transactions/${txId}?wait=-1`, 'wait'],
    [`/transactions/${txId}?wait=1.5`, 'wait'],
    [`/transactions/${txId}?wait=`, 'wait'],
    [`/transactions/${txId}?wait=1&wait=2`, 'wait'],
    [`/transactions/${txId}?txId[$ne]=1`, 'txId[$ne]'],
    [`/transactions/${txId}?__proto__=1`, '__proto__'],
  ])('answers 400 for %s and names %s', async (path, field) => {
    const { status, body } = await api.call(path);

    expect([status, body.code]).toEqual([400, 'invalid-parameter']);
    expect(body.errors).toEqual([{ field, message: expect.any(String) }]);
    expect(body.detail).toContain(field);
  });

  test.each(['"2"', 'W/"2"', '"1", "2"', '"1" , W/"2"', '*'])(
    'answers 304 without a body to If-None-Match: %s',
    async (known) => {
      const { status, headers, text } = await api.call(`/transactions/${txId}`, {
        headers: { 'if-none-match': known },
      });

      expect([status, headers.get('etag'), text]).toEqual([304, '"2"', '']);
    },
  );

  test.each(['"1"', '2', '"22"', 'nonsense'])('answers 200 to If-None-Match: %s', async (known) => {
    const { status } = await api.call(`/transactions/${txId}`, { headers: { 'if-none-match': known } });

    expect(status).toBe(200);
  });

  test('answers HEAD like GET, without the body', async () => {
    const [get, head] = [
      await api.call(`/transactions/${txId}`),
      await api.call(`/transactions/${txId}`, { method: 'HEAD' }),
    ];

    expect([head.status, head.text]).toEqual([200, '']);
    for (const name of ['etag', 'content-type', 'content-length', 'cache-control']) {
      expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)]);
    }
  });
});

describe('GET /transactions', () => {
  test('is answered 429 while four pages are being read, and read again behind them', async () => {
    let read = () => {};
    const gate = new Promise<void>((resolve) => {
      read = resolve;
    });
    let asked = 0;
    const slow = await startApi({
      ...store,
      listTransactions: async (filter) => {
        asked += 1;
        await gate;
        return store.listTransactions(filter);
      },
    });
    const pages = Array.from({ length: 4 }, () => slow.call('/transactions?limit=1'));
    await eventually(() => asked, { until: (count) => count === 4 });

    const fifth = await slow.call('/transactions?limit=1');
    read();

    expect([fifth.status, fifth.body.code, fifth.headers.get('retry-after')]).toEqual([
      429,
      'too-many-requests',
      '1',
    ]);
    expect((await Promise.all(pages)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await slow.call('/transactions?limit=1')).status).toBe(200);
    await slow.close();
  });

  beforeAll(async () => {
    for (let index = 0; index < 7; index += 1) {
      await record(
        eventOf({ txId: `listed:${index}`, source: 'listed', action: index === 3 ? 'DECLINED' : 'NEW' }),
      );
    }
  });

  test('answers with pages, newest first, until nextCursor is null', async () => {
    const found: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { status, headers, body } = await api.call(
        `/transactions?source=listed&limit=3${cursor && `&cursor=${cursor}`}`,
      );
      expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
      expect(body.items.length).toBeLessThanOrEqual(3);
      found.push(...body.items.map((item: { txId: string }) => item.txId));
      cursor = body.nextCursor;
    }

    expect(found).toEqual([6, 5, 4, 3, 2, 1, 0].map((index) => `listed:${index}`));
  });

  test('filters by status, action and time', async () => {
    const all = await api.call('/transactions?source=listed');
    const third = all.body.items.find((item: { txId: string }) => item.txId === 'listed:3');
    const ids = async (query: string) =>
      (await api.call(`/transactions?source=listed&${query}`)).body.items.map(
        (item: { txId: string }) => item.txId,
      );

    expect(await ids('status=declined')).toEqual(['listed:3']);
    expect(await ids('action=DECLINED')).toEqual(['listed:3']);
    expect(await ids(`from=${third.createdAt}`)).toContain('listed:3');
    expect(await ids(`to=${third.createdAt}`)).not.toContain('listed:3');
    expect(await ids('from=2026-01-01T01:00:00%2B01:00&to=2026-01-01T00:00:00Z')).toEqual([]);
    expect(all.body.nextCursor).toBeNull();
  });

  test.each([
    ['status', 'status=paid'],
    ['status', 'status=new&status=draft'],
    ['source', 'source=X'],
    ['source', 'source[$gt]=', 'source[$gt]'],
    ['action', 'action=new'],
    ['from', 'from=yesterday'],
    ['from', 'from=2026-02-30T00:00:00Z'],
    ['to', 'to=2026-01-01'],
    ['limit', 'limit=0'],
    ['limit', 'limit=101'],
    ['limit', 'limit=1e2'],
    ['cursor', 'cursor=nonsense'],
    ['cursor', `cursor=${'a'.repeat(201)}`],
    ['cursor', 'cursor='],
    ['sort', 'sort=amount'],
  ])('answers 400 for a bad %s: %s', async (name, query, field = name) => {
    const { status, body } = await api.call(`/transactions?${query}`);

    expect([status, body.code]).toEqual([400, 'invalid-parameter']);
    expect(body.errors).toEqual([{ field, message: expect.any(String) }]);
  });

  test('names every bad parameter at once', async () => {
    const { body } = await api.call('/transactions?status=paid&limit=0&from=x&sort=y');

    expect(body.errors.map(({ field }: { field: string }) => field).toSorted()).toEqual([
      'from',
      'limit',
      'sort',
      'status',
    ]);
  });
});

describe.each(['/transactions', `/transactions/${txId}`])('%s', (path) => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('does not take %s', async (method) => {
    const { status, headers, body } = await api.call(path, { method });

    expect([status, body.code, headers.get('allow')]).toEqual([405, 'method-not-allowed', 'GET, HEAD']);
  });

  test('answers 503 while the database is away', async () => {
    const unreachable = createMongoStore({ uri: 'mongodb://127.0.0.1:1/x', log: collectLog().log });
    const blind = await startApi(unreachable);

    const { status, headers, body } = await blind.call(path).finally(async () => {
      await blind.close();
      await unreachable.close();
    });
    for (const entry of blind.seen) api.seen.add(entry);

    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'database-unavailable', '2']);
    expect(body.detail).not.toMatch(/mongo|127\.0\.0\.1/i);
  });
});

describe('the OpenAPI document', () => {
  test('is valid', () => {
    expect(openapiCheck.faults()).toEqual([]);
  });

  test('promises what is answered: every example of it was sent, and every status was seen but 429 and 500', async () => {
    const examples = openapiCheck.examples().filter(({ template }) => template.startsWith('/transactions'));
    expect(examples.length).toBeGreaterThanOrEqual(4);
    for (const { path, headers } of examples) {
      expect([path, (await api.call(path, { headers })).status]).toEqual([path, expect.any(Number)]);
    }

    const promised = openapiCheck
      .promised()
      .filter((entry) => /transactions.* (200|304|400|404|503)$/.test(entry));
    expect([...api.seen].toSorted()).toEqual(expect.arrayContaining(promised));
  });
});
