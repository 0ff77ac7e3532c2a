import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import {
  createDeadLetters,
  type DeadLetters,
  DeadLettersUnavailable,
  type PaymentEvent,
} from '@paystream/nats';
import type { OperatorToken } from '@paystream/runtime';
import { eventually, testMongoUri } from '../../test/harness.ts';
import { createDecide } from './decide.ts';
import { createRedriver } from './redrive.ts';
import type { RedriveStore } from './redrive-store.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import { createMongoStore } from './store-mongo.ts';
import { createMongoLink, type MongoLink } from './store-mongo-connection.ts';
import { createMongoRedrives } from './store-mongo-redrives.ts';
import { openapiCheck, startApi, type TestApi } from './testing/api.ts';
import { sentEvent, startConsumer, startTestBroker, type TestBroker } from './testing/consuming.ts';
import { collectLog } from './testing/fixture.ts';
import { createMemoryWebhookStore } from './testing/memory-webhook-store.ts';

const personOf = (name: string, role: OperatorToken['role']): OperatorToken => ({
  name,
  role,
  tokenHash: createHash('sha256').update(`${name}-token`).digest(),
});
const tokens = [personOf('otto', 'operator'), personOf('vera', 'viewer')];
const asOf = (name: string) => ({
  authorization: `Bearer ${name}-token`,
  'content-type': 'application/json',
});

let broker: TestBroker;
let link: MongoLink;
let store: TransactionStore;
let redrives: RedriveStore;
let letters: DeadLetters;
const broken = { fold: false, database: false, removal: false, lastTrace: false };
let api: TestApi;
const seen = new Set<string>();
const now = () => new Date();
const decideIn = (records: TransactionStore) =>
  createDecide({ store: records, webhooks: createMemoryWebhookStore(), now });

/** The real record, with a bug or an outage while a test wants it. */
const breakable = (real: TransactionStore): TransactionStore => ({
  ...real,
  readRecords: async (txIds) => {
    if (broken.fold) throw new TypeError('cannot fold it');
    if (broken.database) throw new StoreUnavailable('away');
    return real.readRecords(txIds);
  },
});

beforeAll(async () => {
  const uri = testMongoUri();
  const { log } = collectLog();
  link = createMongoLink({ uri, log });
  const real = createMongoStore({ uri, log, link });
  [broker] = await Promise.all([startTestBroker(), real.prepare(AbortSignal.timeout(20_000))]);
  store = breakable(real);
  const traces = createMongoRedrives({ link });
  redrives = {
    ...traces,
    finish: async (id, result) => {
      if (broken.lastTrace && result.removed) throw new StoreUnavailable('away');
      await traces.finish(id, result);
    },
  };
  const found = createDeadLetters({ broker: broker.connection });
  letters = {
    ...found,
    remove: async (sequence) => {
      if (broken.removal) throw new DeadLettersUnavailable('no answer');
      await found.remove(sequence);
    },
  };
  const redriver = createRedriver({ letters, decide: decideIn(store), redrives, log, now });
  api = await startApi(store, { tokens, open: true, letters, redriver, redrives });
});
afterEach(() => {
  Object.assign(broken, { fold: false, database: false, removal: false, lastTrace: false });
});
afterAll(async () => {
  await api.close();
  await store.close();
  await broker.close();
});

const post = (path: string, body: unknown, person = 'otto') =>
  api.call(path, { method: 'POST', headers: asOf(person), body: JSON.stringify(body) });
const redrive = (sequence: number) => post(`/dead-letters/${sequence}/redrive`, { reason: 'mended' });
const historyOf = async (txId: string) => (await store.findTransaction(txId))?.actionHistory ?? [];

/** Messages that the consumer puts aside: unreadable ones, and good ones while there is a bug. */
async function putAside({ unreadable = 0, events = [] as PaymentEvent[] }): Promise<number[]> {
  const before = (await api.call('/dead-letters?limit=100')).body.items.length;
  broken.fold = events.length > 0;
  const consumer = startConsumer(broker, { store, retryDelay: () => 5 });
  for (let index = 0; index < unreadable; index += 1)
    await broker.publishBytes('payments.new', `nonsense ${index}`);
  await broker.publish(...events);
  await eventually(broker.left, { within: 30_000, until: ({ messages }) => messages === 0 });
  await consumer.stop();
  broken.fold = false;
  const { items } = (await api.call('/dead-letters?limit=100')).body;
  return items.slice(before).map(({ sequence }: { sequence: number }) => sequence);
}

async function putOneAside(event = sentEvent()): Promise<{ sequence: number; event: PaymentEvent }> {
  const [sequence = 0] = await putAside({ events: [event] });
  return { sequence, event };
}

describe('GET /dead-letters', () => {
  test('tells what is there, oldest first, and why', async () => {
    const event = sentEvent();
    const [first, second] = await putAside({ unreadable: 1, events: [event] });

    const { body } = await api.call('/dead-letters?limit=100');

    const [unreadable, inVain] = body.items.slice(-2);
    expect(unreadable).toMatchObject({ sequence: first, reason: 'not-json', txId: null, lastRedrive: null });
    expect(inVain).toMatchObject({
      sequence: second,
      reason: 'tried-in-vain',
      txId: event.txId,
      eventId: event.eventId,
      firstError: 'cannot fold it',
      lastError: 'cannot fold it',
      subject: 'payments.new',
      deliveries: 14,
    });
  });

  test('gives pages, and only what is asked for', async () => {
    await putAside({ unreadable: 3 });

    const pages: number[] = [];
    let cursor: string | null = '0';
    while (cursor !== null) {
      const { body } = await api.call(`/dead-letters?reason=not-json&action=NEW&limit=2&cursor=${cursor}`);
      pages.push(...body.items.map(({ sequence }: { sequence: number }) => sequence));
      cursor = body.nextCursor;
    }
    const all = (await api.call('/dead-letters?reason=not-json&limit=100')).body.items;

    expect(pages).toEqual(all.map(({ sequence }: { sequence: number }) => sequence));
    expect((await api.call('/dead-letters?action=UPDATE')).body.items).toEqual([]);
    expect(
      (await api.call(`/dead-letters?from=${new Date(Date.now() + 60_000).toISOString()}`)).body.items,
    ).toEqual([]);
  });

  test.each(['limit=0', 'action=OTHER', 'from=yesterday', 'cursor=x', 'color=red', 'reason=A%20B'])(
    'refuses %s',
    async (query) => {
      expect(await api.call(`/dead-letters?${query}`)).toMatchObject({
        status: 400,
        body: { code: 'invalid-parameter' },
      });
    },
  );
});

describe('GET /dead-letters/:sequence', () => {
  test('shows the bytes as they came, and the event as it is read', async () => {
    const { sequence, event } = await putOneAside(sentEvent({ note: 'décodé' }));

    const { body } = await api.call(`/dead-letters/${sequence}`);

    expect(body.body.text).toBe(JSON.stringify(event));
    expect(Buffer.from(body.body.base64, 'base64').toString()).toBe(JSON.stringify(event));
    expect(body.event).toMatchObject({ txId: event.txId, note: 'décodé', amount: event.amount });
    expect(body.redrives).toEqual([]);
  });

  test('shows bytes that are no text', async () => {
    await broker.publishBytes('payments.new', Uint8Array.of(0x22, 0xff, 0x22));
    const [sequence = 0] = await putAside({});

    const { body } = await api.call(`/dead-letters/${sequence}`);

    expect(body).toMatchObject({ body: { text: null, base64: 'Iv8i' }, event: null, txId: null });
  });

  test('answers 404 where there is none, and 400 for what is no sequence', async () => {
    expect(await api.call('/dead-letters/999999')).toMatchObject({
      status: 404,
      body: { code: 'unknown-dead-letter' },
    });
    expect((await api.call('/dead-letters/first')).status).toBe(400);
  });
});

describe('POST /dead-letters/:sequence/redrive', () => {
  test('applies it once, takes it out, and is written down', async () => {
    const { sequence, event } = await putOneAside();

    const [first, second] = [await redrive(sequence), await redrive(sequence)];

    expect(first).toMatchObject({
      status: 200,
      body: { sequence, outcome: 'applied', removed: true, error: null },
    });
    expect(second).toMatchObject({ status: 404, body: { code: 'unknown-dead-letter' } });
    expect(await historyOf(event.txId)).toHaveLength(1);
    const { items } = (await api.call(`/redrives?sequence=${sequence}`)).body;
    expect(items).toEqual([
      expect.objectContaining({
        sequence,
        by: 'otto',
        reason: 'mended',
        result: { outcome: 'applied', removed: true, error: null },
      }),
    ]);
  });

  test('keeps its place in the history: the time and place at which it was first stored', async () => {
    const { sequence, event } = await putOneAside();
    const { storedAt, storedSequence } = (await api.call(`/dead-letters/${sequence}`)).body;

    await redrive(sequence);

    const [entry] = await historyOf(event.txId);
    expect(entry).toMatchObject({ storedAt: new Date(storedAt), sequence: storedSequence });
  });

  test('applies an event once that came again meanwhile', async () => {
    const { sequence, event } = await putOneAside();
    await broker.publish(event);
    await putAside({});

    expect((await redrive(sequence)).body).toMatchObject({ outcome: 'duplicate', removed: true });
    expect(await historyOf(event.txId)).toHaveLength(1);
  });

  test('applies it once where two operators do it at the same time', async () => {
    const { sequence, event } = await putOneAside();

    const answers = await Promise.all(Array.from({ length: 5 }, () => redrive(sequence)));

    const outcomes = answers.map(({ body }) => body.outcome ?? body.code);
    // Who has lost the race may find its own event in the record and say applied.
    expect(outcomes).toContain('applied');
    expect(outcomes).not.toContain('failed');
    expect(await historyOf(event.txId)).toHaveLength(1);
  });

  test('leaves what fails where it is, with the new error, and works when it is mended', async () => {
    const { sequence, event } = await putOneAside();

    broken.fold = true;
    const failed = await redrive(sequence);
    const shown = (await api.call(`/dead-letters/${sequence}`)).body;
    broken.fold = false;
    const mended = await redrive(sequence);

    expect(failed).toMatchObject({
      status: 200,
      body: { outcome: 'failed', error: 'cannot fold it', removed: false },
    });
    expect(shown.lastRedrive.result).toEqual({ outcome: 'failed', error: 'cannot fold it', removed: false });
    expect(shown.redrives).toHaveLength(1);
    expect(mended.body).toMatchObject({ outcome: 'applied', removed: true });
    expect(await historyOf(event.txId)).toHaveLength(1);
  });

  test('leaves what cannot be read where it is', async () => {
    const [sequence = 0] = await putAside({ unreadable: 1 });

    const [first, second] = [await redrive(sequence), await redrive(sequence)];

    expect(first.body).toEqual({
      sequence,
      outcome: 'failed',
      error: expect.stringContaining('not-json'),
      removed: false,
    });
    expect(second.body).toEqual(first.body);
    expect((await api.call(`/dead-letters/${sequence}`)).body.redrives).toHaveLength(2);
  });

  test('applies it once where it could not be taken out, and takes it out the next time', async () => {
    const { sequence, event } = await putOneAside();

    broken.removal = true;
    const first = await redrive(sequence);
    broken.removal = false;
    const second = await redrive(sequence);

    expect(first.body).toMatchObject({ outcome: 'applied', removed: false, error: expect.any(String) });
    expect(second.body).toMatchObject({ outcome: 'duplicate', removed: true });
    expect(await historyOf(event.txId)).toHaveLength(1);
  });

  test('answers 503 while the database is away, and leaves a trace without a result', async () => {
    const { sequence } = await putOneAside();

    broken.database = true;
    const answer = await redrive(sequence);
    broken.database = false;

    expect(answer).toMatchObject({ status: 503, body: { code: 'database-unavailable' } });
    expect((await api.call(`/dead-letters/${sequence}`)).body.lastRedrive.result).toBeNull();
    expect((await redrive(sequence)).body.outcome).toBe('applied');
  });

  test('is answered with what was done when the database goes away behind it, and its trace says so', async () => {
    const { sequence } = await putOneAside();

    broken.lastTrace = true;
    const answer = await redrive(sequence);
    broken.lastTrace = false;

    expect(answer).toMatchObject({ status: 200, body: { outcome: 'applied', removed: true } });
    expect((await api.call(`/dead-letters/${sequence}`)).status).toBe(404);
    const { items } = (await api.call(`/redrives?sequence=${sequence}&limit=1`)).body;
    expect(items).toMatchObject([{ sequence, result: { outcome: 'applied', removed: false } }]);
  });

  test('needs an operator, and a reason', async () => {
    const path = '/dead-letters/1/redrive';

    expect((await post(path, { reason: 'x' }, 'vera')).status).toBe(403);
    expect((await post(path, { reason: 'x' }, 'nobody')).status).toBe(401);
    expect(await post(path, {})).toMatchObject({ status: 400, body: { detail: 'reason is needed' } });
    expect((await post(path, { reason: 'x', force: true })).status).toBe(400);
    expect((await api.call(path, { method: 'POST', headers: asOf('otto'), body: '{' })).status).toBe(400);
    expect(
      (
        await api.call(path, {
          method: 'POST',
          headers: { ...asOf('otto'), 'content-type': 'text/plain' },
          body: 'x',
        })
      ).status,
    ).toBe(415);
    expect((await post(path, { reason: 'x'.repeat(5_000) })).status).toBe(413);
    expect((await api.call(path)).status).toBe(405);
  });
});

describe('POST /dead-letters/redrive', () => {
  const many = (body: Record<string, unknown>) =>
    post('/dead-letters/redrive', { reason: 'all mended', ...body });

  test('applies what matches once each, and leaves the rest', async () => {
    const events = Array.from({ length: 5 }, () => sentEvent());
    await putAside({ unreadable: 2, events });
    const filter = { reason: 'tried-in-vain' };
    const waiting = (await many({ filter, dryRun: true })).body.count;

    const first = await many({ filter });
    const second = await many({ filter });

    expect(waiting).toBeGreaterThanOrEqual(5);
    expect(first).toMatchObject({
      status: 200,
      body: { dryRun: false, count: waiting, failed: 0, nextCursor: null },
    });
    expect(second.body).toMatchObject({ count: 0, items: [] });
    for (const { txId } of events) expect(await historyOf(txId)).toHaveLength(1);
    expect((await many({ filter: { reason: 'not-json' }, dryRun: true })).body.count).toBeGreaterThanOrEqual(
      2,
    );
  });

  test('counts without doing anything', async () => {
    const { sequence, event } = await putOneAside();

    const { body } = await many({ filter: { action: 'NEW' }, dryRun: true });

    expect(body).toMatchObject({ dryRun: true, items: [], failed: 0 });
    expect(body.count).toBeGreaterThan(0);
    expect(await historyOf(event.txId)).toHaveLength(0);
    expect((await api.call(`/redrives?sequence=${sequence}`)).body.items).toEqual([]);
  });

  test('does no more than so many, and goes on behind them', async () => {
    await putAside({ unreadable: 3 });
    const filter = { reason: 'not-json' };
    const all = (await many({ filter, dryRun: true })).body.count;

    const first = await many({ filter, limit: 2 });
    const rest = await many({ filter, cursor: first.body.nextCursor });

    expect(first.body).toMatchObject({ count: 2, failed: 2 });
    expect(rest.body).toMatchObject({ count: all - 2, failed: all - 2, nextCursor: null });
  });

  test('does no more than 50 a second', async () => {
    await putAside({ unreadable: 20 });

    const { ms, body } = await many({ filter: { reason: 'not-json' }, limit: 20 });

    expect(body.count).toBe(20);
    expect(ms).toBeGreaterThan(20 * 20 - 20);
  });

  test.each([
    [{ filter: {} }, 'must name at least one'],
    [{}, 'filter'],
    [{ filter: { color: 'red' } }, 'color'],
    [{ filter: { action: 'NEW' }, limit: 501 }, 'limit'],
    [{ filter: { action: 'NEW' }, reason: ' ' }, 'reason'],
    [{ filter: { action: 'NEW' }, dryRun: 'yes' }, 'dryRun'],
  ])('refuses %j', async (body, detail) => {
    expect(await many(body)).toMatchObject({
      status: 400,
      body: { code: 'invalid-parameter', detail: expect.stringContaining(detail) },
    });
  });

  test('needs an operator', async () => {
    expect((await post('/dead-letters/redrive', {}, 'vera')).status).toBe(403);
    expect((await api.call('/dead-letters/redrive')).status).toBe(405);
  });
});

describe('GET /redrives', () => {
  test('gives pages, newest first', async () => {
    const [sequence = 0] = await putAside({ unreadable: 1 });
    for (let times = 0; times < 3; times += 1) await redrive(sequence);

    const first = (await api.call(`/redrives?sequence=${sequence}&limit=2`)).body;
    const second = (await api.call(`/redrives?sequence=${sequence}&limit=2&cursor=${first.nextCursor}`)).body;

    const times = [...first.items, ...second.items].map(({ at }: { at: string }) => at);
    expect(times).toHaveLength(3);
    expect(times).toEqual(times.toSorted().toReversed());
    expect(second.nextCursor).toBeNull();
    expect((await api.call('/redrives?cursor=x')).status).toBe(400);
  });
});

describe('while broker or database are away', () => {
  test('all calls answer 503, and nothing about what stands behind', async () => {
    const gone = async () => {
      throw new DeadLettersUnavailable('10.0.0.1 refused');
    };
    const away = async () => {
      throw new StoreUnavailable('away');
    };
    const noLetters: DeadLetters = { find: gone, get: gone, remove: gone };
    const noRedrives: RedriveStore = { begin: away, finish: away, latestOf: away, list: away };
    const { log } = collectLog();
    const redriver = createRedriver({ letters: noLetters, decide: decideIn(store), redrives, log, now });
    const blind = await startApi(store, { tokens, open: true, letters: noLetters, redriver, redrives });
    const deaf = await startApi(store, { tokens, open: true, letters, redrives: noRedrives });

    for (const path of ['/dead-letters', '/dead-letters/1']) {
      const { status, body, text } = await blind.call(path);
      expect([path, status, body.code]).toEqual([path, 503, 'dead-letters-unavailable']);
      expect(text).not.toContain('10.0.0.1');
    }
    const headers = asOf('otto');
    for (const path of ['/dead-letters/1/redrive', '/dead-letters/redrive']) {
      const body = JSON.stringify({
        reason: 'x',
        ...(path.includes('1') ? {} : { filter: { action: 'NEW' } }),
      });
      expect([path, (await blind.call(path, { method: 'POST', headers, body })).status]).toEqual([path, 503]);
    }
    for (const path of ['/dead-letters', '/redrives']) {
      expect([path, (await deaf.call(path)).body.code]).toEqual([path, 'database-unavailable']);
    }
    for (const entry of [...blind.seen, ...deaf.seen]) seen.add(entry);
    await Promise.all([blind.close(), deaf.close()]);
  });
});

describe('the OpenAPI document', () => {
  test('gives examples that are taken', async () => {
    const examples = openapiCheck.examples().filter(({ template }) => /dead-letters|redrives/.test(template));
    expect(examples.length).toBeGreaterThanOrEqual(5);
    for (const { path, method, body } of examples) {
      const init = { method: method.toUpperCase(), headers: asOf('otto') };
      const answer = await api.call(path, body === undefined ? init : { ...init, body });
      expect([200, 404]).toContain(answer.status);
    }
  });

  test('promises no status that was not seen, but where looking needs a token', () => {
    for (const entry of api.seen) seen.add(entry);
    const promised = openapiCheck
      .promised()
      .filter(
        (entry) =>
          /dead-letters|redrives/.test(entry) && !/ 500$/.test(entry) && !/^get .* 40[13]$/.test(entry),
      );

    expect([...seen]).toEqual(
      expect.arrayContaining(promised.filter((entry) => !/redrive 4(0[13]|1[35])$/.test(entry))),
    );
    expect([...seen]).toEqual(expect.arrayContaining(['post /dead-letters/{sequence}/redrive 413']));
  });
});
