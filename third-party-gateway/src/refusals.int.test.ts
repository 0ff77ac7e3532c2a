import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { post, webhook } from '../../test/harness.ts';
import { startTestGateway, type TestGateway } from './testing/start-gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(async () => {
  // Of all that this file sends, nothing may have come through.
  const stored = await gateway.stored();
  await gateway.close();
  expect(stored).toBe(0);
});

/** The body's text with one field's value replaced by JSON of one's own. */
const withRaw = (field: string, json: string) =>
  JSON.stringify({ ...webhook(), [field]: '@' }).replace('"@"', json);
const without = (...fields: string[]) =>
  Object.fromEntries(Object.entries(webhook()).filter(([field]) => !fields.includes(field)));

const notUuid = 'must be a UUID';
const notInteger = 'must be an integer in minor units';
const tooLarge = 'must be an integer in minor units, up to 9007199254740991';
const notAction = 'must be one of NEW, DRAFT, UPDATE, APPROVED';
const unknown = 'is not a known field';
const badId = 'must stand once, with 1 to 255 printable ASCII characters and no spaces';

type Invalid = [
  name: string,
  body: unknown,
  errors: Record<string, string>,
  headers?: Record<string, string>,
];
const invalid: Invalid[] = [
  ['no txId', without('txId'), { txId: 'is required' }],
  ['no action', without('action'), { action: 'is required' }],
  ['no amount', without('amount'), { amount: 'is required' }],
  ['no note', without('note'), { note: 'is required' }],
  ['nothing', {}, { txId: 'is required', action: 'is required', amount: 'is required', note: 'is required' }],
  ['a txId that is no UUID', webhook({ txId: 'order-1' }), { txId: notUuid }],
  ['an empty txId', webhook({ txId: '' }), { txId: notUuid }],
  ['a txId in braces', webhook({ txId: `{${randomUUID()}}` }), { txId: notUuid }],
  ['a txId with a line break behind it', webhook({ txId: `${randomUUID()}\n` }), { txId: notUuid }],
  ['a txId that is an operator', webhook({ txId: { $ne: null } }), { txId: 'must be a string' }],
  ['a txId that is null', webhook({ txId: null }), { txId: 'must be a string' }],
  ['an action in lower case', webhook({ action: 'new' }), { action: notAction }],
  ['an action of other sources', webhook({ action: 'CAPTURED' }), { action: notAction }],
  ['an action with a wildcard', webhook({ action: 'NEW.>' }), { action: notAction }],
  ['an action in a list', webhook({ action: ['NEW'] }), { action: notAction }],
  ['the amount 0', webhook({ amount: 0 }), { amount: 'must be 1 or more' }],
  ['the amount -1', webhook({ amount: -1 }), { amount: 'must be 1 or more' }],
  ['the amount -0', withRaw('amount', '-0'), { amount: tooLarge }],
  ['a fraction', webhook({ amount: 12.5 }), { amount: notInteger }],
  ['1.0', withRaw('amount', '1.0'), { amount: notInteger }],
  ['1e2', withRaw('amount', '1e2'), { amount: notInteger }],
  ['1e300', withRaw('amount', '1e300'), { amount: notInteger }],
  ['1e999', withRaw('amount', '1e999'), { amount: notInteger }],
  ['2^53', withRaw('amount', '9007199254740992'), { amount: tooLarge }],
  ['2^53 + 1', withRaw('amount', '9007199254740993'), { amount: tooLarge }],
  ['an amount of 1,000 digits', withRaw('amount', '9'.repeat(1_000)), { amount: notInteger }],
  ['an amount in quotes', webhook({ amount: '100' }), { amount: notInteger }],
  ['an amount in a list', webhook({ amount: [100] }), { amount: notInteger }],
  ['an empty list for the amount', webhook({ amount: [] }), { amount: notInteger }],
  ['an amount that is null', webhook({ amount: null }), { amount: notInteger }],
  ['an amount that is true', webhook({ amount: true }), { amount: notInteger }],
  ['a note that is null', webhook({ note: null }), { note: 'must be a string' }],
  ['a note that is a number', webhook({ note: 1 }), { note: 'must be a string' }],
  [
    'a note of 1,001 characters',
    webhook({ note: 'n'.repeat(1_001) }),
    { note: 'must have at most 1000 characters' },
  ],
  [
    'a note of 1,001 emoji',
    webhook({ note: '😀'.repeat(1_001) }),
    { note: 'must have at most 1000 characters' },
  ],
  ['a lone surrogate', withRaw('note', '"\\ud800"'), { note: 'must be well-formed Unicode' }],
  ['an unknown field', { ...webhook(), currency: 'EUR' }, { currency: unknown }],
  ['two unknown fields', { ...webhook(), a: 1, b: 2 }, { a: unknown, b: unknown }],
  [
    'fields of our own',
    { ...webhook(), source: 'stripe', eventId: 'x' },
    { source: unknown, eventId: unknown },
  ],
  ['constructor', { ...webhook(), constructor: { prototype: {} } }, { constructor: unknown }],
  [
    'a wrong value in each field',
    { txId: 1, action: 2, amount: 'x', note: [], more: 1 },
    {
      txId: 'must be a string',
      action: notAction,
      amount: notInteger,
      note: 'must be a string',
      more: unknown,
    },
  ],
  ['a list', [webhook()], { body: 'must be a JSON object' }],
  ['null', null, { body: 'must be a JSON object' }],
  ['a string', '"x"', { body: 'must be a JSON object' }],
  ['an empty webhook-id', webhook(), { 'webhook-id': badId }, { 'webhook-id': '' }],
  ['a webhook-id with a space', webhook(), { 'webhook-id': badId }, { 'webhook-id': 'a b' }],
  ['a webhook-id of 256 characters', webhook(), { 'webhook-id': badId }, { 'webhook-id': 'x'.repeat(256) }],
  [
    'a wrong field and a wrong webhook-id',
    webhook({ amount: 0 }),
    { amount: 'must be 1 or more', 'webhook-id': badId },
    { 'webhook-id': '' },
  ],
];

const problem = (code: string, status: number, detail: string) => ({
  type: `urn:paystream:problem:${code}`,
  title: expect.any(String),
  status,
  detail,
  code,
  requestId: expect.any(String),
  message: detail,
});

describe('POST /webhooks/x-payment refuses, naming every field,', () => {
  test.each(invalid.map(([name, ...sent]) => [name, sent] as const))('%s', async (_name, sent) => {
    const [body, expected, headers = {}] = sent;

    const answer = await post(gateway, body, { headers });

    const errors = Object.entries(expected).map(([field, message]) => ({ field, message }));
    const detail = errors.map(({ field, message }) => `${field} ${message}`).join('; ');
    expect(answer.body).toEqual({ ...problem('invalid-event', 400, detail), errors });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/problem+json']);
  });
});

const json = JSON.stringify(webhook());
const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));

const malformed: [name: string, body: string | Uint8Array, detail: string][] = [
  ['an empty body', '', 'The body is empty.'],
  ['text', 'NEW', 'The body is not JSON.'],
  ['half a body', json.slice(0, -1), 'The body is not JSON.'],
  ['two bodies', json + json, 'The body is not JSON.'],
  ['a byte order mark', `\ufeff${json}`, 'The body is not JSON.'],
  ['a comma too many', json.replace('}', ',}'), 'The body is not JSON.'],
  ['a comment', `/* */${json}`, 'The body is not JSON.'],
  ['a raw NUL', json.replace('order', 'or\u0000der'), 'The body is not JSON.'],
  ['an amount with a leading zero', withRaw('amount', '0100'), 'The body is not JSON.'],
  ['bytes that are not UTF-8', bytes('{"note":"', [0xff], '"}'), 'The body is not valid UTF-8.'],
  ['UTF-16', Buffer.from(json, 'utf16le'), 'The body is not JSON.'],
  ['an amount twice', json.replace('{', '{"amount":1,'), 'The key "amount" stands twice.'],
  [
    'an amount twice, once escaped',
    json.replace('{', '{"am\\u006funt":1,'),
    'The key "amount" stands twice.',
  ],
  ['__proto__', json.replace('{', '{"__proto__":{"amount":1},'), 'The key __proto__ is not taken.'],
  [
    'deep nesting',
    withRaw('note', '['.repeat(5_000) + ']'.repeat(5_000)),
    'The body nests deeper than 32 levels.',
  ],
];

describe('POST /webhooks/x-payment cannot read', () => {
  test.each(malformed)('%s', async (_name, body, detail) => {
    const answer = await post(gateway, body);

    expect(answer.body).toEqual(problem('malformed-request', 400, detail));
    expect(answer.status).toBe(400);
  });
});

describe('POST /webhooks/x-payment does not take', () => {
  test.each([
    ['no media type', { 'content-type': '' }],
    ['text', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['two media types in one', { 'content-type': 'application/json, text/plain' }],
    ['a media type that begins alike', { 'content-type': 'application/jsonp' }],
    ['JSON in another charset', { 'content-type': 'application/json; charset=utf-16' }],
    ['a compressed body', { 'content-encoding': 'gzip' }],
    ['a body that is compressed twice', { 'content-encoding': 'identity, br' }],
  ])('%s', async (_name, headers) => {
    const answer = await post(gateway, webhook(), { headers });

    expect(answer.body).toEqual(problem('unsupported-media-type', 415, answer.body.detail));
    expect(answer.status).toBe(415);
  });
});

describe('an answer that refuses', () => {
  test('leaves one printable log line, whatever stands in the keys', async () => {
    const requestId = randomUUID();
    const key = 'a\nb\u001b[31m\u2028{"level":60}';

    await post(gateway, { ...webhook(), [key]: 1 }, { headers: { 'x-request-id': requestId } });

    const lines = await gateway.linesOf(requestId);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ status: 400, code: 'invalid-event' });
    expect(lines[0]?.problem).toBe('a?b?[31m?{"level":60} is not a known field');
  });

  test('makes up a request id where the given one could do harm', async () => {
    for (const given of ['a b', 'x'.repeat(65), '{}']) {
      const answer = await post(gateway, {}, { headers: { 'x-request-id': given } });

      expect(answer.body.requestId).toMatch(/^[0-9a-f-]{36}$/);
      expect(answer.headers.get('x-request-id')).toBe(answer.body.requestId);
    }
  });

  test('stays small for a body of many wrong names', async () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`k${index}`, 1]));

    const answer = await post(gateway, many);

    expect(JSON.stringify(answer.body).length).toBeLessThan(10_000);
    expect(answer.body.errors).toHaveLength(55);
  });
});
