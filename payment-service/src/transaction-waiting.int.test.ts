import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually, testMongoUri } from '../../test/harness.ts';
import { recordEvents } from './record-events.ts';
import type { TransactionStore } from './store.ts';
import { startApi, type TestApi } from './testing/api.ts';
import { eventOf, openStore } from './testing/fixture.ts';

let store: TransactionStore;
let api: TestApi;
let looks = 0;
const looksAt = new Map<string, number>();
const record = (txId: string, amount: number) =>
  recordEvents({ store, now: () => new Date() }, [eventOf({ txId, action: 'UPDATE', amount })]);

beforeAll(async () => {
  store = await openStore(testMongoUri());
  const counted: TransactionStore = {
    ...store,
    findVersion: (id) => {
      looks += 1;
      looksAt.set(id, (looksAt.get(id) ?? 0) + 1);
      return store.findVersion(id);
    },
  };
  api = await startApi(counted);
});
afterAll(async () => {
  await api.close();
  await store.close();
});

/** Resolves when the request before has looked and found nothing. */
const untilLookedSince = (before: number) => eventually(() => looks, { until: (now) => now > before });

describe('GET /transactions/:txId?wait', () => {
  test('answers at once when the transaction exists', async () => {
    const txId = randomUUID();
    await record(txId, 1);

    const { status, ms } = await api.call(`/transactions/${txId}?wait=30`);

    expect(status).toBe(200);
    expect(ms).toBeLessThan(1_000);
  });

  test('answers as soon as the transaction exists', async () => {
    const txId = randomUUID();
    const before = looks;

    const waiting = api.call(`/transactions/${txId}?wait=30`);
    await untilLookedSince(before);
    await record(txId, 1);
    const recordedAt = performance.now();

    expect((await waiting).status).toBe(200);
    expect(performance.now() - recordedAt).toBeLessThan(1_000);
  });

  test('answers as soon as the transaction changes from the given ETag', async () => {
    const txId = randomUUID();
    await record(txId, 1);
    const etag = (await api.call(`/transactions/${txId}`)).headers.get('etag') ?? '';
    const before = looks;

    const waiting = api.call(`/transactions/${txId}?wait=30`, { headers: { 'if-none-match': `W/${etag}` } });
    await untilLookedSince(before);
    await record(txId, 2);

    const { status, headers, body } = await waiting;
    expect([status, headers.get('etag'), body.amount]).toEqual([200, '"2"', 2]);
  });

  test('answers 404 or 304 when the time is over, and hardly later', async () => {
    const txId = randomUUID();
    await record(txId, 1);

    const [missing, same] = await Promise.all([
      api.call(`/transactions/${randomUUID()}?wait=1`),
      api.call(`/transactions/${txId}?wait=1`, { headers: { 'if-none-match': '"1"' } }),
    ]);

    expect([missing.status, same.status]).toEqual([404, 304]);
    for (const { ms } of [missing, same]) {
      expect(ms).toBeGreaterThan(980);
      expect(ms).toBeLessThan(1_500);
    }
  });

  test('lets 100 wait, refuses one more, and has room again when they go away', async () => {
    const gone = new AbortController();
    const ids = Array.from({ length: 100 }, () => randomUUID());
    const waiting = ids.map((id) =>
      api.call(`/transactions/${id}?wait=30`, { signal: gone.signal }).catch(() => 'gone'),
    );
    // Who has looked twice waits: one more request before that could take the place of the last of them.
    await eventually(() => ids.filter((id) => (looksAt.get(id) ?? 0) >= 2).length, {
      until: (count) => count === ids.length,
    });
    const refused = await api.call(`/transactions/${randomUUID()}?wait=1`);

    expect([refused.status, refused.body.code]).toEqual([429, 'too-many-requests']);
    expect(refused.headers.get('retry-after')).toBe('1');
    const known = randomUUID();
    await record(known, 1);
    expect((await api.call(`/transactions/${known}?wait=1`)).status).toBe(200);
    gone.abort();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['gone']));
    await eventually(() => api.call(`/transactions/${randomUUID()}?wait=1`), {
      until: ({ status }) => status === 404,
    });
    // Nobody looks any more for those who went away.
    const later = looks;
    await api.call(`/transactions/${randomUUID()}?wait=1`);
    expect(looks - later).toBeLessThan(10);
  });

  test('is answered when the service stops', async () => {
    const before = looks;
    const waiting = api.call(`/transactions/${randomUUID()}?wait=30`);
    await untilLookedSince(before);

    const stoppedAt = performance.now();
    api.beginStop();

    expect((await waiting).status).toBe(404);
    expect(performance.now() - stoppedAt).toBeLessThan(1_000);
  });
});
