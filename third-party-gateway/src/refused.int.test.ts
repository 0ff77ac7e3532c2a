import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { KeptRefused } from '@paystream/nats';
import { type Answer, eventually, get, post, twice, webhook } from '../../test/harness.ts';
import type { Source } from './source.ts';
import { type AdapterCase, adapterCases } from './testing/fixtures.ts';
import { bearer, startTestGateway, type TestGateway } from './testing/start-gateway.ts';

const caseOf = (name: string): AdapterCase => {
  const found = adapterCases().find(({ adapter }) => adapter.name === name);
  if (found === undefined) throw new Error(`there is no adapter ${name}`);
  return found;
};
const stripe = caseOf('stripe');
const [first, second] = stripe.secrets;

let gateway: TestGateway;
const asSet = () => [
  stripe.source({ secrets: [first] }),
  caseOf('adyen').source(),
  caseOf('x-payment').source({ verifies: false }),
];
/** The sources as an operator has set them: with the first secret, unless a test mends that. */
let sources: Source[] = asSet();
beforeAll(async () => {
  gateway = await startTestGateway({ sources: () => sources });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  sources = asSet();
  for (const { sequence } of await allKept()) await gateway.refused.remove(sequence);
});

const allKept = async (): Promise<KeptRefused[]> =>
  (await gateway.refused.find({ filter: {}, after: 0, limit: 100 })).webhooks;
const kept = (count = 1) => eventually(allKept, { until: ({ length }) => length >= count });
const onlyKept = async (): Promise<KeptRefused> => {
  const [only] = await kept();
  if (only === undefined) throw new Error('nothing is kept');
  return only;
};

/** A payment that Stripe created, each time another one. */
function created(type = 'payment_intent.created') {
  const id = randomUUID().replaceAll('-', '').slice(0, 12);
  const object = { id: `pi_${id}`, amount: 1_250, currency: 'eur', description: '' };
  return JSON.stringify({ id: `evt_${id}`, type, created: 1_770_000_000, data: { object } });
}
function signedBy(secret: typeof first, body = created(), at = new Date()) {
  return stripe.sign(body, { secrets: [secret], at });
}
const send = ({ body, headers }: { body: string; headers: Record<string, string> }, more = {}) =>
  post(gateway, body, { path: '/webhooks/stripe', headers: { ...headers, ...more } });
const retry = (sequence: number, headers = bearer('operator')) =>
  post(gateway, { reason: 'the new secret is configured' }, { path: `/refused/${sequence}/retry`, headers });
const codeOf = ({ status, body }: Answer) => [status, body.code];

describe('a webhook that is refused', () => {
  test('is kept with the reason, its time, its bytes and what it is verified by, and nothing that opens doors', async () => {
    const signed = signedBy(second);
    const before = Date.now();

    const answer = await send(signed, {
      authorization: 'Bearer canary-1',
      cookie: 'session=canary-2',
      'proxy-authorization': 'Basic canary-3',
      'x-api-key': 'canary-4',
      'x-anything': 'canary-5',
    });

    expect(codeOf(answer)).toEqual([401, 'signature-wrong']);
    const only = await onlyKept();
    expect(only).toMatchObject({
      source: 'stripe',
      reason: 'signature-wrong',
      headers: { 'stripe-signature': signed.headers['stripe-signature'] },
    });
    expect(Object.keys(only.headers)).toEqual(['stripe-signature']);
    expect(Buffer.from(only.body).toString()).toBe(signed.body);
    expect(only.receivedAt.getTime()).toBeGreaterThanOrEqual(before);
    expect(only.receivedAt.getTime()).toBeLessThanOrEqual(Date.now());
    expect(JSON.stringify(only)).not.toContain('canary');
  });

  test.each<[string, () => Promise<Answer>, string, string]>([
    ['no signature', () => send({ body: created(), headers: {} }), 'stripe', 'signature-missing'],
    [
      'a signature that is none',
      () => send({ body: created(), headers: { 'stripe-signature': 'x' } }),
      'stripe',
      'signature-malformed',
    ],
    ['an old signature', () => send(signedBy(first, created(), new Date(0))), 'stripe', 'signature-stale'],
    ['signed nonsense', () => send(signedBy(first, '{"a":1,"a":2}')), 'stripe', 'malformed-request'],
    [
      'items that nobody can read',
      () => post(gateway, '{"a":', { path: '/webhooks/adyen' }),
      'adyen',
      'malformed-request',
    ],
    [
      'our own form with a wrong field',
      () => post(gateway, webhook({ amount: 0 })),
      'x-payment',
      'invalid-event',
    ],
  ])('is kept for %s', async (_name, sendIt, source, reason) => {
    const answer = await sendIt();

    expect(answer.body.code).toBe(reason);
    const only = await onlyKept();
    expect(only).toMatchObject({ source, reason });
    // What the sender was told beside the code, where that was something.
    expect(answer.body.detail).toContain(only.detail);
  });

  test('is not kept where nothing of it was judged: no source, no JSON, too large', async () => {
    const answers = [
      await post(gateway, created(), { path: '/webhooks/nobody' }),
      await send({ ...signedBy(second), headers: { 'content-type': 'text/plain' } }),
      await send({ body: 'x'.repeat(262_145), headers: {} }),
      await send(signedBy(second)),
    ];

    expect(answers.map(({ status }) => status)).toEqual([404, 415, 413, 401]);
    // The last one is: what came before it would be there by now.
    expect((await onlyKept()).reason).toBe('signature-wrong');
    expect(await allKept()).toHaveLength(1);
  });
});

describe('GET /refused', () => {
  test('shows nothing without a viewer, neither the list nor one of them', async () => {
    await send(signedBy(second));
    const { sequence } = await onlyKept();

    for (const path of ['/refused', `/refused/${sequence}`]) {
      expect(codeOf(await get(gateway, path))).toEqual([401, 'unauthorized']);
      expect(codeOf(await get(gateway, path, bearer('nobody')))).toEqual([401, 'unauthorized']);
      expect((await get(gateway, path, bearer('viewer'))).status).toBe(200);
    }
  });

  test('lists them by source and reason, oldest first, page by page', async () => {
    await send(signedBy(second));
    await kept(1);
    await post(gateway, webhook({ amount: 0 }));
    await kept(2);
    await send(signedBy(first, created(), new Date(0)));
    const all = await kept(3);
    const list = async (query: string) =>
      (await get(gateway, `/refused${query}`, bearer('viewer'))).body as {
        items: { sequence: number }[];
        nextCursor: string | null;
      };
    const sequences = async (query: string) => (await list(query)).items.map(({ sequence }) => sequence);
    const [one = 0, two = 0, three = 0] = all.map(({ sequence }) => sequence);

    expect(await sequences('')).toEqual([one, two, three]);
    expect(await sequences('?source=stripe')).toEqual([one, three]);
    expect(await sequences('?reason=invalid-event')).toEqual([two]);
    expect(await sequences('?source=stripe&reason=signature-stale')).toEqual([three]);
    expect(await sequences(`?from=${all[1]?.keptAt.toISOString()}&limit=1`)).toEqual([two]);
    expect(await sequences(`?to=${all[0]?.keptAt.toISOString()}`)).toEqual([]);
    const page = await list('?limit=2');
    expect(page.items.map(({ sequence }) => sequence)).toEqual([one, two]);
    expect(await sequences(`?limit=2&cursor=${page.nextCursor}`)).toEqual([three]);
    expect(codeOf(await get(gateway, '/refused?reason=other', bearer('viewer')))).toEqual([
      400,
      'invalid-parameter',
    ]);
  });

  test('shows one of them with its bytes, and a place where none is as what it is', async () => {
    const signed = signedBy(second);
    await send(signed);
    const { sequence } = await onlyKept();

    const { body, headers } = await get(gateway, `/refused/${sequence}`, bearer('viewer'));

    expect(body).toMatchObject({
      ...{ sequence, source: 'stripe', reason: 'signature-wrong', bytes: signed.body.length },
      body: { text: signed.body, base64: Buffer.from(signed.body).toString('base64') },
    });
    expect(headers.get('cache-control')).toBe('no-store');
    expect(codeOf(await get(gateway, `/refused/${sequence + 1}`, bearer('viewer')))).toEqual([
      404,
      'unknown-refused-webhook',
    ]);
  });
});

describe('POST /refused/:sequence/retry', () => {
  test('needs an operator and a reason', async () => {
    await send(signedBy(second));
    const { sequence } = await onlyKept();
    const path = `/refused/${sequence}/retry`;

    expect(codeOf(await retry(sequence, { authorization: '' }))).toEqual([401, 'unauthorized']);
    expect(codeOf(await retry(sequence, bearer('viewer')))).toEqual([403, 'forbidden']);
    expect(codeOf(await post(gateway, {}, { path, headers: bearer('operator') }))).toEqual([
      400,
      'invalid-parameter',
    ]);
    expect(await allKept()).toHaveLength(1);
  });

  test('says the code and changes nothing while the secret is the wrong one', async () => {
    await send(signedBy(second));
    const before = await onlyKept();
    const stored = await gateway.stored();

    const [one, two] = await twice(() => retry(before.sequence));

    const refused = { outcome: 'refused', code: 'signature-wrong', messages: [] };
    expect([one.status, one.body, two.body]).toMatchObject([200, refused, refused]);
    expect(await allKept()).toEqual([before]);
    expect(await gateway.stored()).toBe(stored);
  });

  test('publishes once the secret is right, once, and then it is not there any more', async () => {
    const signed = signedBy(second);
    await send(signed);
    const { sequence, receivedAt } = await onlyKept();
    const stored = await gateway.stored();
    sources = [stripe.source({ secrets: [first, second] })];

    const [one, two] = await twice(() => retry(sequence));

    expect(one.body).toMatchObject({
      ...{ sequence, outcome: 'accepted', code: null },
      messages: [{ duplicate: false }],
    });
    expect(codeOf(two)).toEqual([404, 'unknown-refused-webhook']);
    expect(await gateway.stored()).toBe(stored + 1);
    const { event } = await gateway.message(one.body.messages[0].sequence);
    expect(event).toMatchObject({
      source: 'stripe',
      amount: 1_250,
      receivedAt: receivedAt.toISOString(),
      webhook: { body: signed.body },
    });
    expect(await allKept()).toEqual([]);
  });

  test('has no second effect where it is asked for at the same time, or its sender has sent it again', async () => {
    const body = created();
    await send(signedBy(second, body));
    const { sequence } = await onlyKept();
    const stored = await gateway.stored();
    sources = [stripe.source({ secrets: [second] })];

    expect((await send(signedBy(second, body))).body).toMatchObject({ message: 'success', duplicate: false });
    const answers = await Promise.all([retry(sequence), retry(sequence), retry(sequence)]);

    for (const { status, body } of answers) {
      if (status === 200) expect(body.messages).toMatchObject([{ duplicate: true }]);
      else expect([status, body.code]).toEqual([404, 'unknown-refused-webhook']);
    }
    expect(answers.some(({ status }) => status === 200)).toBe(true);
    expect(await gateway.stored()).toBe(stored + 1);
    expect(await allKept()).toEqual([]);
  });

  test('counts the age of the signature from when it came, however late it is asked for', async () => {
    const anHourAgo = new Date(Date.now() - 3_600_000);
    const { body, headers } = signedBy(second, created(), anHourAgo);
    const fields = { source: 'stripe', detail: '', headers, body: Buffer.from(body) };
    // Wrong when it came, an hour ago, and signed just then.
    await gateway.refused.keep({ ...fields, reason: 'signature-wrong', receivedAt: anHourAgo });
    // The same one, had it come now: stale, and no later than that.
    await gateway.refused.keep({ ...fields, reason: 'signature-stale', receivedAt: new Date() });
    const [inTime, stale] = await kept(2);
    sources = [stripe.source({ secrets: [second] })];

    const answers = [await retry(stale?.sequence ?? 0), await retry(inTime?.sequence ?? 0)];

    expect(answers.map(({ body }) => [body.outcome, body.code])).toEqual([
      ['refused', 'signature-stale'],
      ['accepted', null],
    ]);
  });

  test('does not take a secret that had ended when it came', async () => {
    await send(signedBy(second));
    const { sequence, receivedAt } = await onlyKept();
    sources = [stripe.source({ secrets: [{ ...second, until: receivedAt }] })];

    expect((await retry(sequence)).body).toMatchObject({ outcome: 'refused', code: 'signature-wrong' });
  });

  test('says so where the source is gone', async () => {
    await send(signedBy(second));
    const { sequence } = await onlyKept();
    sources = [];

    expect((await retry(sequence)).body).toMatchObject({ outcome: 'refused', code: 'unknown-source' });
    expect(await allKept()).toHaveLength(1);
  });

  test('leaves a line in the log that says who, why and what came of it, and nothing of the webhook', async () => {
    await send(signedBy(second));
    const { sequence } = await onlyKept();
    sources = [stripe.source({ secrets: [second] })];
    const requestId = randomUUID();

    await retry(sequence, { ...bearer('operator'), ...{ 'x-request-id': requestId } });

    const [line] = await gateway.linesOf(requestId);
    expect(line).toMatchObject({
      operator: 'the-operator',
      reason: 'the new secret is configured',
      refused: sequence,
      source: 'stripe',
      outcome: 'accepted',
    });
    expect(JSON.stringify(line)).not.toMatch(/operator-token|v1=|"data"/);
  });
});

describe('keeping', () => {
  let attacked: TestGateway;
  beforeAll(async () => {
    attacked = await startTestGateway({ sources: asSet });
  });
  afterAll(() => attacked.close());
  const garbage = () =>
    post(attacked, created(), { path: '/webhooks/stripe', headers: { 'stripe-signature': 't=1,v1=00' } });

  test('is not waited for: with a broker that stands still the answer comes as always', async () => {
    attacked.broker().pause();

    const answers = await Promise.all([garbage(), garbage(), garbage()]);
    attacked.broker().resume();

    expect(answers.map(({ body }) => body.code)).toEqual(Array(3).fill('signature-wrong'));
    expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(1_000);
    const all = () => attacked.refused.find({ filter: {}, after: 0, limit: 100 });
    await eventually(async () => (await all()).webhooks.length, { until: (count) => count === 3 });
  });

  test('is bounded: 100 of a source in ten seconds, a payment among them is taken, and the rest is counted', async () => {
    const manager = await (await attacked.connection.whenUp(AbortSignal.timeout(10_000))).jetstreamManager();
    const counts = async () => ({
      kept: (await manager.streams.info('refused-webhooks')).state.messages,
      notKept: (await get(attacked, '/refused?limit=1', bearer('viewer'))).body.notKept as number,
    });
    const before = await counts();
    const valid = signedBy(first);
    const startedAt = performance.now();
    const statuses: number[] = [];
    // A machine that has no time for the gateway has it turn some away, unread.
    const judged = async (): Promise<number> => {
      const { status } = await garbage();
      return status === 503 ? judged() : status;
    };
    const lanes = Array.from({ length: 20 }, async () => {
      for (let sent = 0; sent < 30; sent += 1) statuses.push(await judged());
    });

    const answer = await post(attacked, valid.body, { path: '/webhooks/stripe', headers: valid.headers });
    await Promise.all(lanes);

    expect(new Set(statuses)).toEqual(new Set([401]));
    expect(answer.status).toBe(200);
    const after = await eventually(counts, {
      until: ({ kept, notKept }) => kept - before.kept + notKept - before.notKept === 600,
    });
    // However slow the machine is: a new hundred begins every ten seconds.
    const tens = 1 + Math.ceil((performance.now() - startedAt) / 10_000);
    expect(after.kept - before.kept).toBeLessThanOrEqual(100 * tens);
    expect(after.notKept).toBeGreaterThan(0);
  });
});
