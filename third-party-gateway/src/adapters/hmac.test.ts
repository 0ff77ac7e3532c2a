import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { createSource } from '../source.ts';
import { receivedAt } from '../testing/fixtures.ts';
import { hmac } from './hmac.ts';

const mapping = {
  txId: '$.order.id',
  action: { path: '$.state', values: { paid: 'APPROVED', constructor: 'NEW' } },
  amount: '$.order.total',
};
const schema = z.strictObject(hmac.settings);

function sourceWith(settings: Record<string, unknown>, secret = "It's a Secret to Everybody") {
  const key = hmac.readSecret(secret);
  if (key === undefined) throw new Error('this is a secret');
  return createSource({
    name: 'acme',
    adapter: hmac,
    settings: schema.parse({ mapping, ...settings }),
    verifies: true,
    secrets: [{ id: 'key', key }],
    currency: 'EUR',
    answer: 'json',
  });
}

const github = { header: 'X-Hub-Signature-256', prefix: 'sha256=' };

describe('a source with the adapter hmac', () => {
  test('takes the example that GitHub publishes, in either letter case', () => {
    const made = '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17';
    const decide = (text: string) =>
      sourceWith({ signature: github }).decide({
        headers: { 'x-hub-signature-256': `sha256=${text}` },
        body: Buffer.from('Hello, World!'),
        receivedAt,
      });

    // Verified, and no JSON.
    expect(decide(made).kind).toBe('malformed');
    expect(decide(made.toUpperCase()).kind).toBe('malformed');
    expect(decide(made.replace('7', '8'))).toEqual({ kind: 'refused', code: 'signature-wrong' });
    expect(decide(made.slice(2))).toEqual({ kind: 'refused', code: 'signature-wrong' });
    expect(decide(`${made} `)).toEqual({ kind: 'refused', code: 'signature-malformed' });
  });

  test.each([
    ['sha512', 'hex'],
    ['sha512', 'base64'],
    ['sha256', 'base64'],
  ])('takes what is signed with %s in %s', (algorithm, encoding) => {
    const settings = schema.parse({ mapping, signature: { algorithm, encoding } });
    const key = hmac.readSecret("It's a Secret to Everybody");
    const body = '{"state":"paid","order":{"id":7,"total":100}}';
    const keys = key === undefined ? [] : [{ id: 'key', key }];
    const { headers } = hmac.sign({ body, keys, at: receivedAt, id: undefined }, settings);

    const decision = sourceWith({ signature: { algorithm, encoding } }).decide({
      headers,
      body: Buffer.from(body),
      receivedAt,
    });

    expect(decision).toMatchObject({
      kind: 'accepted',
      events: [{ txId: 'acme:7', action: 'APPROVED', amount: 100, note: '', currency: 'EUR' }],
    });
  });

  test.each([
    ['a word that is not mapped', { state: 'refunded' }],
    ['a word that only every object has', { state: 'toString' }],
    ['no word', {}],
  ])('makes nothing of %s', (_name, body) => {
    const translation = hmac.translate(body, {
      source: 'acme',
      settings: schema.parse({ mapping }),
      deliveryId: undefined,
    });

    expect(translation).toEqual({ kind: 'translated', candidates: [], unmapped: [expect.any(String)] });
  });
});

describe('a mapping', () => {
  test.each([
    ['$.a', 'txId'],
    ["$['order id'][0].x-y", 'note'],
  ])('may name %s for %s', (path, field) => {
    expect(schema.safeParse({ mapping: { ...mapping, [field]: path } }).success).toBe(true);
  });

  test.each([
    '',
    'a',
    '$a',
    '$.',
    '$..a',
    '$.a[*]',
    '$.a[-1]',
    '$[?(@.x)]',
    '$.a b',
    "$['a\\']",
    `$${'.a'.repeat(21)}`,
  ])('may not name %s', (path) => {
    const { error } = schema.safeParse({ mapping: { ...mapping, txId: path } });

    expect(error?.issues.map((issue) => issue.path.join('.'))).toEqual(['mapping.txId']);
  });

  test.each([
    ['no amount', { amount: undefined }],
    ['an unknown field', { sum: '$.x' }],
    ['an action that is none', { action: { path: '$.a', values: { paid: 'PAID' } } }],
    ['no words', { action: { path: '$.a', values: {} } }],
  ])('with %s is refused', (_name, part) => {
    expect(schema.safeParse({ mapping: { ...mapping, ...part } }).success).toBe(false);
  });
});
