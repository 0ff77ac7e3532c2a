import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { encodeEvent, type Translated, type UnmappedWebhook } from '@paystream/nats';
import type { OperatorToken } from '@paystream/runtime';
import { eventually, testMongoUri } from '../../test/harness.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import { createMongoStore } from './store-mongo.ts';
import { createMongoLink, type MongoLink } from './store-mongo-connection.ts';
import { createMongoWebhookStore } from './store-mongo-webhooks.ts';
import { openapiCheck, startApi, type TestApi } from './testing/api.ts';
import {
  sentEvent,
  startConsumer,
  startTestBroker,
  type TestBroker,
  type TestConsumer,
} from './testing/consuming.ts';
import { collectLog } from './testing/fixture.ts';
import type { KeptWebhook, WebhookStore } from './webhook-store.ts';

let broker: TestBroker;
let link: MongoLink;
let store: TransactionStore;
let webhooks: WebhookStore;
let running: TestConsumer[] = [];

beforeAll(async () => {
  const uri = testMongoUri();
  const { log } = collectLog();
  link = createMongoLink({ uri, log });
  store = createMongoStore({ uri, log, link });
  webhooks = createMongoWebhookStore({ link });
  [broker] = await Promise.all([startTestBroker(), store.prepare(AbortSignal.timeout(20_000))]);
});
afterEach(async () => {
  await Promise.all(running.map((one) => one.stop()));
  running = [];
});
afterAll(async () => {
  await store.close();
  await broker.close();
});

const start = (options: Partial<Parameters<typeof startConsumer>[1]> = {}) => {
  const started = startConsumer(broker, { store, webhooks, ...options });
  running.push(started);
  return started;
};
const untilEmpty = () => eventually(broker.left, { within: 20_000, until: ({ messages }) => messages === 0 });
const newId = () => randomBytes(16).toString('hex');

const unmappedOf = (id = newId()): UnmappedWebhook => ({
  source: 'stripe',
  receivedAt: new Date().toISOString(),
  webhook: { id, body: '{"type":"customer.created"}' },
  reasons: ['nothing is made of events of the type customer.created'],
});
const publishUnmapped = (...said: UnmappedWebhook[]) =>
  Promise.all(
    said.map((one) => encodeEvent(one)).map(({ subject, data }) => broker.publishBytes(subject, data)),
  );

describe('a webhook that no event was made of', () => {
  test('is kept with its body and the reason, acknowledged, and touches no transaction', async () => {
    const said = unmappedOf();
    const consumer = start();

    await publishUnmapped(said, said);
    await untilEmpty();

    const kept = await webhooks.find(said.webhook.id);
    expect(kept).toEqual({
      id: said.webhook.id,
      source: 'stripe',
      receivedAt: new Date(said.receivedAt),
      expiresAt: new Date(Date.parse(said.receivedAt) + 90 * 86_400_000),
      body: said.webhook.body,
      reasons: said.reasons,
      translations: [],
    });
    expect(consumer.calls).toEqual({ readRecords: 0, writeChanges: 0 });
    expect(consumer.lines.filter(({ outcome }) => outcome === 'unmapped')).toMatchObject([
      { level: 40, settled: 'acked', webhookId: said.webhook.id },
      { level: 40, settled: 'acked', webhookId: said.webhook.id },
    ]);
    expect(JSON.stringify(consumer.lines)).not.toContain('customer.created');
  });

  test('that cannot be read is a dead letter', async () => {
    const consumer = start();

    await broker.publishBytes('payments.unmapped', '{}');
    await untilEmpty();

    expect(consumer.lines.filter(({ outcome }) => outcome === 'unreadable')).toMatchObject([
      { reason: 'not-a-webhook', settled: 'dead-lettered' },
    ]);
  });

  test('stays in the queue while the database takes no webhook, and is kept when it does', async () => {
    const said = unmappedOf();
    const event = sentEvent();
    let away = true;
    const flaky: WebhookStore = {
      ...webhooks,
      keep: (kept) =>
        away
          ? Promise.reject(new StoreUnavailable('away', { cause: new Error('test') }))
          : webhooks.keep(kept),
    };
    const consumer = start({ webhooks: flaky });

    await publishUnmapped(said);
    await broker.publish(event);
    await eventually(() => consumer.said('messages.released'), { until: (count) => count > 0 });
    expect(await webhooks.find(said.webhook.id)).toBeUndefined();
    away = false;
    await untilEmpty();

    expect(await webhooks.find(said.webhook.id)).toBeDefined();
    expect(await store.findVersion(event.txId)).toBe(1);
  });

  test('that the database refuses comes again, and holds up no other', async () => {
    const refused = unmappedOf();
    const event = sentEvent();
    const refusing: WebhookStore = {
      ...webhooks,
      keep: async (kept) =>
        new Map(
          kept.filter(({ id }) => id === refused.webhook.id).map(({ id }) => [id, 'too large'] as const),
        ),
    };
    const consumer = start({ webhooks: refusing });

    await publishUnmapped(refused);
    await broker.publish(event);
    await eventually(() => store.findVersion(event.txId), { until: (version) => version === 1 });
    await eventually(() => consumer.lines.filter(({ outcome }) => outcome === 'retry'), {
      until: (lines) => lines.length > 0,
    });
    await consumer.stop();
    running = [];
    start();
    await untilEmpty();

    expect(await webhooks.find(refused.webhook.id)).toBeDefined();
  });
});

describe('the body of a webhook', () => {
  test('is kept once, and linked from every history entry that came of it', async () => {
    const id = newId();
    const txId = `adyen:${randomUUID()}`;
    const first = {
      ...sentEvent({ txId, source: 'adyen' }),
      webhook: { id, deliveryId: 'msg_1', body: '{"a":1}' },
    };
    const second = { ...sentEvent({ txId, source: 'adyen', action: 'UPDATE' }), webhook: { id } };
    const plain = sentEvent({ txId, action: 'UPDATE', amount: 7 });
    start();

    await broker.publish(first, second, plain);
    await untilEmpty();

    const { actionHistory } = (await store.findTransaction(txId)) ?? { actionHistory: [] };
    const linked = [...actionHistory].sort((left, right) => left.sequence - right.sequence);
    expect(linked.map(({ webhookId }) => webhookId)).toEqual([id, id, undefined]);
    expect(await webhooks.find(id)).toMatchObject({ deliveryId: 'msg_1', body: '{"a":1}', reasons: [] });
  });
});

const keptOf = (said: Partial<KeptWebhook> = {}): KeptWebhook => ({
  id: newId(),
  source: 'stripe',
  receivedAt: new Date('2026-01-02T03:04:05.678Z'),
  body: '{}',
  reasons: [],
  ...said,
});

describe('the collection of webhooks', () => {
  test('keeps the first body of an id, also when many write it at the same time', async () => {
    const id = newId();
    const bodies = Array.from({ length: 20 }, (_, index) => `{"n":${index}}`);

    const refused = await Promise.all(bodies.map((body) => webhooks.keep([keptOf({ id, body })])));

    expect(refused.map(({ size }) => size)).toEqual(bodies.map(() => 0));
    expect(bodies).toContain((await webhooks.find(id))?.body);
  });

  test('adds the reasons of what came later to what was kept before', async () => {
    const id = newId();

    await webhooks.keep([keptOf({ id })]);
    await webhooks.keep([keptOf({ id, reasons: ['not all of it'] })]);
    await webhooks.keep([keptOf({ id })]);

    expect((await webhooks.find(id))?.reasons).toEqual(['not all of it']);
  });

  test('is cleared by the database, each webhook after 90 days', async () => {
    await webhooks.keep([keptOf()]);

    const indexes = await link.connection.collection('webhooks').indexes();

    expect(indexes).toContainEqual(expect.objectContaining({ key: { expiresAt: 1 }, expireAfterSeconds: 0 }));
  });
});

describe('GET /webhooks-received/:id', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await startApi(store, { webhooks });
  });
  afterAll(() => api.close());

  test('gives the webhook as it came', async () => {
    const kept = keptOf({ body: '{"amount": 1.50 , "é":"\\u0000"}', deliveryId: 'msg_1', reasons: ['why'] });
    await webhooks.keep([kept]);

    const { status, body, headers } = await api.call(`/webhooks-received/${kept.id}`);

    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(body).toEqual({
      ...kept,
      receivedAt: '2026-01-02T03:04:05.678Z',
      expiresAt: '2026-04-02T03:04:05.678Z',
      translations: [],
    });
  });

  test('answers 404 for one that is not kept, 400 for what is no id, 405 for what changes something', async () => {
    const unknown = await api.call(`/webhooks-received/${newId()}`);
    const wrong = await api.call('/webhooks-received/$where');
    const changed = await api.call(`/webhooks-received/${newId()}`, { method: 'DELETE' });

    expect([unknown.status, unknown.body.code]).toEqual([404, 'unknown-webhook']);
    expect([wrong.status, wrong.body.code]).toEqual([400, 'invalid-parameter']);
    expect([changed.status, changed.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test('answers 503 while the database is away', async () => {
    const blind = await startApi(store, {
      webhooks: { ...webhooks, find: () => Promise.reject(new StoreUnavailable('away')) },
    });

    const { status, body } = await blind.call(`/webhooks-received/${newId()}`);
    for (const entry of blind.seen) api.seen.add(entry);
    await blind.close();

    expect([status, body.code]).toEqual([503, 'database-unavailable']);
  });

  test('needs a viewer where other machines can ask', async () => {
    const guardedApi = await startApi(store, { webhooks, open: false });

    const { status } = await guardedApi.call(`/webhooks-received/${newId()}`);
    await guardedApi.close();

    expect(status).toBe(403);
  });

  test('answers as its document promises', () => {
    const promised = openapiCheck
      .promised()
      .filter((entry) => /webhooks-received\/{id} .*(200|400|404|503)$/.test(entry));

    expect([...api.seen].toSorted()).toEqual(promised.toSorted());
  });
});

describe('POST /webhooks-received/:id/translate', () => {
  const personOf = (name: string, role: OperatorToken['role']): OperatorToken => ({
    name,
    role,
    tokenHash: createHash('sha256').update(`${name}-token`).digest(),
  });
  const tokens = [personOf('otto', 'operator'), personOf('vera', 'viewer')];
  let translated: Translated = { kind: 'published', messages: 2, duplicates: 1, unmapped: ['why'] };
  const asked: unknown[] = [];
  let api: TestApi;
  const kept = keptOf({ deliveryId: 'msg_1', reasons: ['not yet'] });
  beforeAll(async () => {
    await webhooks.keep([kept]);
    api = await startApi(store, {
      webhooks,
      tokens,
      open: true,
      translate: async (webhook) => {
        asked.push(webhook);
        return translated;
      },
    });
  });
  afterAll(() => api.close());

  const json = { 'content-type': 'application/json' };
  const otto = { authorization: 'Bearer otto-token', ...json };
  const translate = async (
    { id = kept.id, body = '{"reason":"mended"}' }: { id?: string; body?: string } = {},
    headers: Record<string, string> = otto,
  ) => {
    return api.call(`/webhooks-received/${id}/translate`, { method: 'POST', headers, body });
  };

  test('hands the webhook over as it was kept, and writes down who wanted it and what came of it', async () => {
    const [first, second] = [await translate(), await translate()];

    const { receivedAt, reasons: _, ...said } = kept;
    expect(asked[0]).toEqual({
      ...said,
      receivedAt: receivedAt.toISOString(),
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-/),
    });
    expect([first.status, first.body]).toEqual([200, { messages: 2, duplicates: 1, reasons: ['why'] }]);
    expect(second.body).toEqual(first.body);
    const { body } = await api.call(`/webhooks-received/${kept.id}`);
    const record = { at: expect.any(String), by: 'otto', reason: 'mended', messages: 2, duplicates: 1 };
    expect([body.reasons, body.translations]).toEqual([['why'], [record, record]]);
  });

  test.each<[name: string, result: Translated, answer: [status: number, code: string]]>([
    ['its source is gone', { kind: 'unknown-source' }, [409, 'translation-failed']],
    ['it cannot be read', { kind: 'unreadable', detail: 'broken' }, [409, 'translation-failed']],
    ['no gateway is there', { kind: 'unavailable', detail: 'none' }, [503, 'broker-unavailable']],
  ])('says so when %s', async (_name, result, expected) => {
    translated = result;

    const { status, body } = await translate();

    expect([status, body.code]).toEqual(expected);
  });

  test('needs an operator and a reason, and what it names', async () => {
    const answers = [
      await translate({}, json),
      await translate({}, { ...json, authorization: 'Bearer vera-token' }),
      await translate({ body: '{}' }),
      await translate({ body: '{' }),
      await translate({ body: JSON.stringify({ reason: 'r'.repeat(5_000) }) }),
      await translate({}, { ...otto, 'content-type': 'text/plain' }),
      await translate({ id: newId() }),
    ];

    expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
      [401, 'unauthorized'],
      [403, 'forbidden'],
      [400, 'invalid-parameter'],
      [400, 'malformed-request'],
      [413, 'body-too-large'],
      [415, 'unsupported-media-type'],
      [404, 'unknown-webhook'],
    ]);
  });
});
