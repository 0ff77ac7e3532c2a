import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { OperatorToken } from '@paystream/runtime';
import { testMongoUri } from '../../test/harness.ts';
import type { ReplayChange } from './replay-store.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import {
  type ApiAnswer,
  type ApiOptions,
  fakeReplay,
  openapiCheck,
  startApi,
  type TestApi,
} from './testing/api.ts';
import { openStore } from './testing/fixture.ts';

const personOf = (name: string, role: OperatorToken['role']): OperatorToken => ({
  name,
  role,
  tokenHash: createHash('sha256').update(`${name}-token`).digest(),
});
const tokens = [personOf('otto', 'operator'), personOf('vera', 'viewer')];
const otto = { authorization: 'Bearer otto-token' };
const json = { 'content-type': 'application/json' };

let store: TransactionStore;
const apis: TestApi[] = [];

beforeAll(async () => {
  store = await openStore(testMongoUri());
});
afterAll(async () => {
  // Together: each takes connections for a moment longer.
  await Promise.all(apis.map((api) => api.close()));
  await store.close();
});

/** The HTTP side for one test. */
async function withApi<T>(options: ApiOptions, work: (api: TestApi) => Promise<T>): Promise<T> {
  const api = await startApi(store, { tokens, open: true, ...options });
  apis.push(api);
  return work(api);
}

type Headers = Record<string, string>;
const put = (api: TestApi, body: unknown, headers: Headers = { ...otto, ...json }) =>
  api.call('/replay', {
    method: 'PUT',
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

/** Every change is sent twice, and both answers count. */
async function putTwice(api: TestApi, body: unknown): Promise<ApiAnswer> {
  const [first, second] = [await put(api, body), await put(api, body)];
  const ofThisOne = { changedAt: undefined, requestId: undefined };
  expect([second.status, { ...second.body, ...ofThisOne }]).toEqual([
    first.status,
    { ...first.body, ...ofThisOne },
  ]);
  return first;
}

const untouched = {
  mode: 'original',
  speed: 1,
  speedNow: 1,
  finishWithin: null,
  paused: 'none',
  state: 'live',
  guard: false,
  backlog: 0,
  lagMs: 0,
  oldestStoredAt: null,
  doneAt: null,
  changedBy: null,
  changedAt: null,
  reason: null,
};

describe('GET /replay', () => {
  test('tells how a backlog would be replayed, and that nobody has changed it', async () => {
    await withApi({}, async (api) => {
      const { status, headers, body } = await api.call('/replay');

      expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
      expect(body).toEqual(untouched);
      expect((await api.call('/replay', { method: 'HEAD' })).status).toBe(200);
    });
  });

  test('tells how far a replay is', async () => {
    const oldestStoredAt = new Date(Date.now() - 60_000);
    const doneAt = new Date(Date.now() + 15_000);
    const backlog = { messages: 300, oldestStoredAt, newestStoredAt: new Date() };
    const now = { state: 'replaying', backlog, speed: 4, doneAt } as const;

    const { body } = await withApi({ replay: fakeReplay({ now }) }, (api) => api.call('/replay'));

    expect(body).toMatchObject({ state: 'replaying', backlog: 300, speed: 1, speedNow: 4, guard: false });
    expect([body.oldestStoredAt, body.doneAt]).toEqual([oldestStoredAt.toISOString(), doneAt.toISOString()]);
    expect(body.lagMs).toBeGreaterThanOrEqual(60_000);
    expect(body.lagMs).toBeLessThan(70_000);
  });

  test('says null for the speed of what is replayed at once, and keeps the one that is set', async () => {
    const backlog = { messages: 1, oldestStoredAt: new Date(0), newestStoredAt: new Date(0) };
    const now = { state: 'replaying', backlog, speed: Number.POSITIVE_INFINITY, guard: true } as const;

    const { body } = await withApi({ replay: fakeReplay({ now }) }, (api) => api.call('/replay'));

    expect(body).toMatchObject({ speed: 1, speedNow: null, guard: true });
  });

  test('tells that the broker paces, and then nothing can be changed', async () => {
    await withApi({ brokerPaces: true }, async (api) => {
      expect((await api.call('/replay')).body).toEqual({ ...untouched, mode: 'broker' });

      const { status, body } = await putTwice(api, { speed: 4, reason: 'faster' });
      expect([status, body.code]).toEqual([400, 'invalid-parameter']);
      expect(body.detail).toContain('REPLAY_MODE=broker');
    });
  });
});

describe('PUT /replay', () => {
  test.each([
    [{ speed: 4 }, { speed: 4, speedNow: 4 }],
    [{ speed: 0.1 }, { speed: 0.1, speedNow: 0.1 }],
    [{ speed: 1_000 }, { speed: 1_000, speedNow: 1_000 }],
    [{ mode: 'instant' }, { mode: 'instant', speed: 1, speedNow: null }],
    [{ finishWithin: '10m' }, { finishWithin: '10m' }],
    [{ finishWithin: '90s' }, { finishWithin: '90s' }],
    [{ finishWithin: '7d' }, { finishWithin: '7d' }],
    [{ finishWithin: null }, { finishWithin: null }],
    [{ paused: 'replay' }, { paused: 'replay' }],
    [{ paused: 'all' }, { paused: 'all' }],
    [{ paused: 'none' }, {}],
    [{}, {}],
    [
      { mode: 'instant', speed: 2.5, finishWithin: '1h', paused: 'all' },
      { mode: 'instant', speed: 2.5, speedNow: null, finishWithin: '1h', paused: 'all' },
    ],
  ])('takes %j, twice alike, with who, when and why', async (asked, told) => {
    const startedAt = new Date().toISOString();
    await withApi({}, async (api) => {
      const { status, headers, body } = await putTwice(api, { ...asked, reason: '  a test  ' });

      expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
      expect(body).toEqual({
        ...untouched,
        ...told,
        changedBy: 'otto',
        changedAt: expect.any(String),
        reason: 'a test',
      });
      expect(body.changedAt >= startedAt && body.changedAt <= new Date().toISOString()).toBe(true);
      expect((await api.call('/replay')).body).toMatchObject({ ...told, reason: 'a test' });
    });
  });

  test('keeps what a later change does not name', async () => {
    const changes: ReplayChange[] = [];
    const replay = fakeReplay({ change: async (next) => void changes.push(next) });
    await withApi({ replay }, async (api) => {
      await put(api, { speed: 4, finishWithin: '10m', reason: 'one' });
      await put(api, { paused: 'replay', reason: 'two' });
      const { body } = await put(api, { mode: 'instant', finishWithin: null, reason: 'three' });

      expect(body).toMatchObject({ mode: 'instant', speed: 4, finishWithin: null, paused: 'replay' });
    });

    const four = { mode: 'original', speed: 4, finishWithinMs: 600_000, paused: 'none' };
    expect(changes).toEqual([
      { setting: four, changedBy: 'otto', changedAt: expect.any(Date), reason: 'one' },
      {
        setting: { ...four, paused: 'replay' },
        changedBy: 'otto',
        changedAt: expect.any(Date),
        reason: 'two',
      },
      {
        setting: { mode: 'instant', speed: 4, finishWithinMs: null, paused: 'replay' },
        ...{ changedBy: 'otto', changedAt: expect.any(Date), reason: 'three' },
      },
    ]);
  });

  test('puts who, what and why in the log, and no token', async () => {
    await withApi({}, async (api) => {
      await put(api, { speed: 4, reason: 'catch up' });

      expect(api.lines.find(({ msg }) => msg === 'request.answered')).toMatchObject({
        operator: 'otto',
        setting: { speed: 4 },
        reason: 'catch up',
        status: 200,
      });
      expect(JSON.stringify(api.lines)).not.toContain('otto-token');
    });
  });

  test.each([
    ['speed', 'must be at least 0.1', '{"speed":0,"reason":"x"}'],
    ['speed', 'must be at least 0.1', '{"speed":0.05,"reason":"x"}'],
    ['speed', 'must be at least 0.1', '{"speed":-1,"reason":"x"}'],
    ['speed', 'must be at most 1000', '{"speed":1001,"reason":"x"}'],
    ['speed', 'must be a number', '{"speed":"4","reason":"x"}'],
    ['speed', 'must be a number', '{"speed":null,"reason":"x"}'],
    ['speed', 'must be a number', '{"speed":1e999,"reason":"x"}'],
    ['finishWithin', 'must be a length of time', '{"finishWithin":"10 minutes","reason":"x"}'],
    ['finishWithin', 'must be a length of time', '{"finishWithin":"0s","reason":"x"}'],
    ['finishWithin', 'must be a length of time', '{"finishWithin":"","reason":"x"}'],
    ['finishWithin', 'must be a length of time', '{"finishWithin":600000,"reason":"x"}'],
    ['finishWithin', 'must be at most 7d', '{"finishWithin":"8d","reason":"x"}'],
    ['mode', 'must be one of original, instant', '{"mode":"fast","reason":"x"}'],
    ['mode', 'must be one of original, instant', '{"mode":"broker","reason":"x"}'],
    ['mode', 'must be one of original, instant', '{"mode":null,"reason":"x"}'],
    ['paused', 'must be one of none, replay, all', '{"paused":true,"reason":"x"}'],
    ['paused', 'must be one of none, replay, all', '{"paused":"everything","reason":"x"}'],
    ['rate', 'is not a known parameter', '{"rate":4,"reason":"x"}'],
    ['changedBy', 'is not a known parameter', '{"changedBy":"anna","reason":"x"}'],
    ['__proto__', 'is not a known parameter', '{"__proto__":{"speed":4},"reason":"x"}'],
    ['reason', 'is needed', '{"speed":4}'],
    ['reason', 'is needed', '{}'],
    ['reason', 'is needed', ''],
    ['reason', 'must be a string', '{"reason":4}'],
    ['reason', 'must be a string', '{"reason":null}'],
    ['reason', 'must not be empty', '{"reason":""}'],
    ['reason', 'must not be empty', '{"reason":" \\t\\n"}'],
    ['reason', 'must have at most 500 characters', `{"reason":"${'x'.repeat(501)}"}`],
    ['body', 'must be a JSON object', 'null'],
    ['body', 'must be a JSON object', '4'],
    ['body', 'must be a JSON object', '"speed"'],
    ['body', 'must be a JSON object', '[{"speed":4,"reason":"x"}]'],
  ])('refuses what breaks a rule: %s %s', async (field, message, text) => {
    await withApi({ replay: fakeReplay({ change: unexpected }) }, async (api) => {
      const { status, body } = await putTwice(api, text);

      expect([status, body.code]).toEqual([400, 'invalid-parameter']);
      expect(body.errors).toEqual([{ field, message: expect.stringContaining(message) }]);
      expect(body.detail).toContain(`${field} ${message}`);
    });
  });

  test('names every wrong field at once', async () => {
    const { body } = await withApi({}, (api) =>
      put(api, { mode: 'fast', speed: 0, finishWithin: '10', paused: 'no', rate: 1, burst: 2 }),
    );

    expect(body.errors.map(({ field }: { field: string }) => field).toSorted()).toEqual(
      ['burst', 'finishWithin', 'mode', 'paused', 'rate', 'reason', 'speed'].toSorted(),
    );
  });

  test('takes the longest reason, with every character of it escaped', async () => {
    const text = `{"speed":4,"reason":"${'\\u00e4'.repeat(500)}"}`;

    const { status, body } = await withApi({}, (api) => put(api, text));

    expect([status, body.reason]).toEqual([200, 'ä'.repeat(500)]);
  });

  test.each([
    ['no JSON', '{"speed":4', json, 400, 'malformed-request'],
    ['NaN', '{"speed":NaN,"reason":"x"}', json, 400, 'malformed-request'],
    ['single quotes', "{'speed':4}", json, 400, 'malformed-request'],
    ['a body of 5,000 bytes', `{"reason":"${'x'.repeat(5_000)}"}`, json, 413, 'body-too-large'],
    ['no content type', '{"speed":4,"reason":"x"}', { 'content-type': '' }, 415, 'unsupported-media-type'],
    [
      'the content type of curl -d',
      '{"speed":4,"reason":"x"}',
      { 'content-type': 'application/x-www-form-urlencoded' },
      ...([415, 'unsupported-media-type'] as const),
    ],
    [
      'another charset',
      '{"speed":4,"reason":"x"}',
      { 'content-type': 'application/json; charset=latin1' },
      ...([415, 'unsupported-media-type'] as const),
    ],
    [
      'a compressed body',
      '{"speed":4,"reason":"x"}',
      { ...json, 'content-encoding': 'gzip' },
      ...([415, 'unsupported-media-type'] as const),
    ],
  ])('refuses %s', async (_, text, headers, expected, code) => {
    await withApi({ replay: fakeReplay({ change: unexpected }) }, async (api) => {
      for (const { status, body } of [
        await put(api, text, { ...otto, ...headers }),
        await put(api, text, { ...otto, ...headers }),
      ]) {
        expect([status, body.code]).toEqual([expected, code]);
      }
    });
  });

  test('answers 503 while the database is away, and says that it may not be saved', async () => {
    const away = async () => {
      throw new StoreUnavailable('connect ECONNREFUSED mongo 127.0.0.1:27017');
    };
    await withApi({ replay: fakeReplay({ change: away }) }, async (api) => {
      const { status, headers, body } = await putTwice(api, { speed: 4, reason: 'x' });

      expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'database-unavailable', '2']);
      expect(body.detail).toBe('The setting may not be saved; send it again.');
      expect((await api.call('/replay')).body).toEqual(untouched);
    });
  });
});

describe('/replay', () => {
  test.each([
    ['GET', true, undefined, 200],
    ['GET', false, undefined, 401],
    ['GET', false, 'vera-token', 200],
    ['PUT', true, undefined, 401],
    ['PUT', true, 'wrong', 401],
    ['PUT', true, 'vera-token', 403],
    ['PUT', true, 'otto-token', 200],
  ])('answers %s (open: %j) with the token %j: %i', async (method, open, token, expected) => {
    const authorization: Headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const change = method === 'PUT' ? { body: '{"speed":2,"reason":"x"}' } : {};
    const call = (api: TestApi) =>
      api.call('/replay', { method, headers: { ...json, ...authorization }, ...change });

    await withApi({ open }, async (api) => {
      expect([(await call(api)).status, (await call(api)).status]).toEqual([expected, expected]);
    });
  });

  test('lets nobody look or change where other machines can ask and no token is configured', async () => {
    await withApi({ tokens: [], open: false }, async (api) => {
      expect((await api.call('/replay')).body).toMatchObject({ status: 403, code: 'forbidden' });
      expect((await put(api, { speed: 4, reason: 'x' })).body).toMatchObject({
        status: 403,
        code: 'forbidden',
      });
      expect((await api.call('/transactions')).body.detail).toContain('OPERATOR_TOKENS');
    });
  });

  test('does not read a body before it knows who sends it', async () => {
    await withApi({}, async (api) => {
      expect((await put(api, 'no JSON', json)).status).toBe(401);
    });
  });

  test.each(['POST', 'PATCH', 'DELETE'])('does not take %s', async (method) => {
    const { status, headers, body } = await withApi({}, (api) =>
      api.call('/replay', { method, headers: otto }),
    );

    expect([status, body.code, headers.get('allow')]).toEqual([405, 'method-not-allowed', 'GET, HEAD, PUT']);
  });
});

describe('the OpenAPI document', () => {
  test('gives examples of /replay that are taken', async () => {
    const examples = openapiCheck.examples().filter(({ template }) => template === '/replay');
    expect(examples.map(({ method }) => method)).toEqual(['get', 'put']);

    await withApi({}, async (api) => {
      for (const { path, method, headers, body } of [...examples, ...examples]) {
        const init = { method: method.toUpperCase(), headers: { ...headers, ...otto } };
        const answer = await api.call(path, body === undefined ? init : { ...init, body });
        expect([method, answer.status]).toEqual([method, 200]);
      }
    });
  });

  test('promises every status of /replay that was seen, and no other but 500', () => {
    const promised = openapiCheck.promised().filter((entry) => / \/replay (?!500)/.test(entry));

    const seen = new Set(apis.flatMap((api) => [...api.seen].filter((entry) => entry.includes(' /replay '))));

    expect([...seen].toSorted()).toEqual(promised.toSorted());
  });

  test.each([
    [{ speed: 4, reason: 'x' }, true],
    [{ speed: 0.05, reason: 'x' }, false],
    [{ speed: 4 }, false],
    [{ finishWithin: '10 minutes', reason: 'x' }, false],
    [{ finishWithin: null, reason: 'x' }, true],
    [{ rate: 4, reason: 'x' }, false],
  ])('tells a client whether %j will be taken', (body, isTaken) => {
    const faults = openapiCheck.requestFaults({ method: 'put', template: '/replay', body });

    expect(faults.length === 0).toBe(isTaken);
  });
});

async function unexpected(): Promise<never> {
  throw new Error('nothing may be changed');
}
