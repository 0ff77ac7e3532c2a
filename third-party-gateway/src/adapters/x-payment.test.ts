import { describe, expect, test } from '@jest/globals';
import { adapterCases } from '../testing/fixtures.ts';
import { xPayment } from './x-payment.ts';

const valid = { txId: '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90', action: 'NEW', amount: 1_250, note: 'order' };
const receivedAt = new Date('2026-01-31T12:00:00.000Z');

const [xPaymentCase] = adapterCases().filter(({ adapter }) => adapter === xPayment);
if (xPaymentCase === undefined) throw new Error('x-payment is not in the list');
const { sign } = xPaymentCase;
const signing = xPaymentCase.source();
const open = xPaymentCase.source({ verifies: false });

const translate = (body: unknown, headers: Record<string, string> = {}) =>
  open.decide({
    headers,
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    receivedAt,
  });

describe('the x-payment adapter', () => {
  test('makes an event of a webhook, with the fingerprint as its identity', () => {
    expect(translate(valid)).toEqual({
      kind: 'accepted',
      keyId: 'none',
      events: [
        {
          ...valid,
          source: 'x-payment',
          eventId: expect.stringMatching(/^[0-9a-f]{32}$/),
          receivedAt: '2026-01-31T12:00:00.000Z',
        },
      ],
      unmapped: [],
      webhook: undefined,
    });
  });

  test('gives the same identity for any key order, spacing and letter case of the txId', () => {
    const { txId, action, amount, note } = valid;

    const plain = translate(valid);
    const other = translate(JSON.stringify({ note, amount, action, txId: txId.toUpperCase() }, undefined, 2));

    expect(other).toEqual(plain);
  });

  test('takes the header webhook-id as identity', () => {
    expect(translate(valid, { 'webhook-id': 'evt-1' })).toMatchObject({ events: [{ eventId: 'evt-1' }] });
  });

  test.each([
    ['empty', ''],
    ['repeated, as Node joins it', 'a, b'],
    ['with a space', 'a b'],
    ['too long', 'x'.repeat(256)],
    ['not ASCII', 'é'],
  ])('refuses a webhook-id that is %s', (_name, id) => {
    expect(translate(valid, { 'webhook-id': id })).toEqual({
      kind: 'invalid',
      errors: [
        {
          field: 'webhook-id',
          message: 'must stand once, with 1 to 255 printable ASCII characters and no spaces',
        },
      ],
    });
  });

  test('names every wrong field at once, in words', () => {
    const body = { txId: 1, action: 'new', amount: 0, other: 1, more: 2 };

    expect(translate(body, { 'webhook-id': '' })).toEqual({
      kind: 'invalid',
      errors: [
        { field: 'txId', message: 'must be a string' },
        { field: 'action', message: 'must be one of NEW, DRAFT, UPDATE, APPROVED' },
        { field: 'amount', message: 'must be 1 or more' },
        { field: 'note', message: 'is required' },
        { field: 'other', message: 'is not a known field' },
        { field: 'more', message: 'is not a known field' },
        { field: 'webhook-id', message: expect.any(String) },
      ],
    });
  });

  test('names the first 50 of very many unknown fields and counts the rest', () => {
    const unknown = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`k${index}`, 1]));

    const translation = translate({ ...valid, ...unknown });

    const errors = translation.kind === 'invalid' ? translation.errors : [];
    expect(errors).toHaveLength(51);
    expect(errors.at(0)).toEqual({ field: 'k0', message: 'is not a known field' });
    expect(errors.at(-1)).toEqual({ field: 'body', message: 'has 19950 more fields that are not known' });
  });

  test('says malformed for what is not JSON, and invalid for JSON that is no object', () => {
    expect(translate('{')).toEqual({ kind: 'malformed', detail: 'The body is not JSON.' });
    for (const body of ['null', '[]', '"x"', '1', 'true']) {
      expect(translate(body)).toEqual({
        kind: 'invalid',
        errors: [{ field: 'body', message: 'must be a JSON object' }],
      });
    }
  });
});

describe('the x-payment adapter with a secret', () => {
  test.each([
    ['another one', { 'webhook-id': 'evt-2' }],
    ['none', {}],
  ])('refuses a webhook that was signed with one webhook-id and comes with %s', (_name, id) => {
    const { body, headers } = sign(JSON.stringify(valid), { at: receivedAt, id: 'evt-1' });
    const { 'webhook-id': _, ...others } = headers;
    const decide = (given: Record<string, string>) =>
      signing.decide({ headers: given, body: Buffer.from(body), receivedAt });

    expect(decide(headers).kind).toBe('accepted');
    expect(decide({ ...others, ...id })).toEqual({ kind: 'refused', code: 'signature-wrong' });
  });
});
