import { createHash, randomUUID } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { currencies } from './currencies.ts';
import { eventIdSchema, noteSchema, txIdSchema } from './fields.ts';
import {
  actions,
  type Decoded,
  decodeEvent,
  encodeEvent,
  identify,
  messageIdOf,
  type PaymentEvent,
  paymentEventSchema,
  subjectOf,
  type UnidentifiedEvent,
} from './messages.ts';
import { toUnmapped } from './webhooks.ts';

const storedAt = new Date('2026-05-06T07:08:09.010Z');
const golden: UnidentifiedEvent = {
  txId: 'b7e23ec2-9af1-4d4e-9a56-2f1a0c7d9e11',
  action: 'UPDATE',
  amount: 1_250,
  note: 'a café, "quoted" €',
  source: 'x-payment',
  receivedAt: '2026-01-02T03:04:05.678Z',
};

const ascii = (pattern: RegExp) => fc.stringMatching(pattern);
const time = fc
  .date({ min: new Date('0000-01-01'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
  .map((date) => date.toISOString());
const txId = fc.oneof(
  fc.uuid(),
  ascii(/^[A-Za-z0-9_.:-]{1,128}$/).map((id) => txIdSchema.parse(id)),
);
const note = fc.string({ unit: 'binary', maxLength: 1_000 }).filter((text) => text.isWellFormed());

/** Every event that the contract allows. */
const events: fc.Arbitrary<PaymentEvent> = fc
  .record(
    {
      txId,
      action: fc.constantFrom(...actions),
      amount: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      note,
      currency: fc.constantFrom(...currencies),
      reference: ascii(/^[\x21-\x7e]{1,128}$/),
      source: ascii(/^[a-z0-9][a-z0-9-]{0,62}$/),
      eventId: ascii(/^[\x21-\x7e]{1,255}$/),
      occurredAt: time,
      receivedAt: time,
    },
    { requiredKeys: ['txId', 'action', 'amount', 'note', 'source', 'receivedAt'] },
  )
  .map((said) => identify(said).event);

function decode(
  data: Uint8Array | string | object,
  { subject = 'payments.update', headers = {} }: { subject?: string; headers?: Record<string, string> } = {},
): Decoded {
  const text = typeof data === 'string' || data instanceof Uint8Array ? data : JSON.stringify(data);
  return decodeEvent({
    subject,
    data: typeof text === 'string' ? new TextEncoder().encode(text) : text,
    header: (name) => headers[name],
    storedAt,
  });
}

function eventFrom(decoded: Decoded) {
  if (decoded.kind !== 'event') throw new Error(`it is ${JSON.stringify(decoded)}`);
  return decoded;
}

/** The same value written by somebody else: keys in another order, other white space, escapes for letters. */
function writtenAnew(value: Record<string, unknown>, order: number[], indent: number): string {
  const keys = Object.keys(value);
  const shuffled = keys
    .map((key, index) => ({ key, rank: order[index] ?? 0 }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ key }) => [key, value[key]]);
  return JSON.stringify(Object.fromEntries(shuffled), null, indent).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

describe('the identity of an event', () => {
  test('is what it always was', () => {
    const plain = identify(golden);
    const named = identify({ ...golden, eventId: 'evt_1', currency: 'EUR', occurredAt: golden.receivedAt });

    expect(plain.fingerprint).toBe('310598a49dfc99ee9c5e9c1dea68e753');
    expect(plain.event.eventId).toBe(plain.fingerprint);
    expect(messageIdOf(plain.event)).toBe(`${golden.txId}.update.310598a49dfc99ee9c5e9c1dea68e753`);
    expect(named.fingerprint).toBe('93635b5b3ee65d915661b91b330a15a2');
    expect(named.event.eventId).toBe('evt_1');
  });

  test('is the hash of the canonical JSON of what was said, as a library for it writes that', () => {
    fc.assert(
      fc.property(events, (identified) => {
        const event = { ...identified, eventId: 'evt_1' };
        const { source: _source, receivedAt: _receivedAt, webhook: _webhook, ...said } = event;
        const json = canonicalize(Object.fromEntries(Object.entries(said).reverse())) ?? '';
        const hash = createHash('sha256').update(json).digest('hex').slice(0, 32);
        expect(identify(event).fingerprint).toBe(hash);
      }),
    );
  });

  test('is the same for any order of keys, white space and escapes', () => {
    fc.assert(
      fc.property(
        events,
        fc.array(fc.nat(), { minLength: 10, maxLength: 10 }),
        fc.nat(8),
        (event, order, indent) => {
          const again = eventFrom(
            decode(writtenAnew({ ...event }, order, indent), { subject: subjectOf(event.action) }),
          );
          expect(again.fingerprint).toBe(identify(event).fingerprint);
          expect(messageIdOf(again.event)).toBe(messageIdOf(event));
        },
      ),
    );
  });

  test.each<[string, Partial<UnidentifiedEvent>]>([
    ['txId', { txId: 'b7e23ec2-9af1-4d4e-9a56-2f1a0c7d9e12' }],
    ['action', { action: 'DRAFT' }],
    ['amount', { amount: 1_251 }],
    ['note', { note: `${golden.note} ` }],
    ['currency', { currency: 'EUR' }],
    ['reference', { reference: 'capture-1' }],
    ['eventId', { eventId: 'evt_1' }],
    ['occurredAt', { occurredAt: '2026-01-02T03:04:05.678Z' }],
  ])('is another one when %s differs', (_field, changed) => {
    const before = identify(golden);
    const after = identify({ ...golden, ...changed });

    expect(after.fingerprint).not.toBe(before.fingerprint);
    expect(messageIdOf(after.event)).not.toBe(messageIdOf(before.event));
  });

  test('does not depend on our own times, nor on the name of the source', () => {
    const later = identify({ ...golden, receivedAt: '2030-01-01T00:00:00.000Z', source: 'stripe-eu' });

    expect(later.fingerprint).toBe(identify(golden).fingerprint);
    expect(messageIdOf(later.event)).toBe(messageIdOf(identify(golden).event));
  });

  test('is kept when an identified event is identified again', () => {
    fc.assert(
      fc.property(events, (event) => {
        expect(identify(event).event).toEqual(event);
      }),
    );
  });

  test('has one message id per content, in lower case and without white space', () => {
    fc.assert(
      fc.property(events, (event) => {
        expect(messageIdOf(event)).toMatch(/^[!-@[-~]+\.[a-z]+\.[0-9a-f]{32}$/);
      }),
    );
  });
});

describe('encoding and decoding', () => {
  test('are inverse for every event of the contract', () => {
    fc.assert(
      fc.property(events, (event) => {
        const { subject, data, headers } = encodeEvent(event, { traceparent: '00-a-b-01' });
        const decoded = eventFrom(decodeEvent({ subject, data, header: (name) => headers[name], storedAt }));

        expect(decoded.event).toEqual(event);
        expect(decoded.fingerprint).toBe(identify(event).fingerprint);
      }),
      { numRuns: 300 },
    );
  });

  test('make the same bytes for the same event', () => {
    fc.assert(
      fc.property(events, (event) => {
        expect(encodeEvent({ ...event })).toEqual(encodeEvent(event));
      }),
    );
  });

  test('send a trace along only where there is one', () => {
    const { event } = identify(golden);

    expect(encodeEvent(event, { traceparent: '00-a-b-01' }).headers).toEqual({
      'Paystream-Version': '1',
      traceparent: '00-a-b-01',
    });
    expect(encodeEvent(event).headers).toEqual({ 'Paystream-Version': '1' });
  });

  test('use the subject of the action, from a closed list', () => {
    expect(actions.map(subjectOf)).toEqual(actions.map((action) => `payments.${action.toLowerCase()}`));
  });
});

describe('decoding', () => {
  test('never throws, whatever the bytes, the subject and the headers', () => {
    const header = fc.dictionary(
      fc.constantFrom('Paystream-Version', 'traceparent', 'Nats-Msg-Id'),
      fc.string(),
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((text) => new TextEncoder().encode(text)),
      fc
        .record({ txId: fc.anything(), action: fc.anything(), amount: fc.anything(), note: fc.anything() })
        .map((value) => new TextEncoder().encode(JSON.stringify(value, (_key, part) => writable(part)))),
    );
    fc.assert(
      fc.property(bytes, fc.string(), header, (data, subject, headers) => {
        const decoded = decode(data, { subject, headers });
        expect(['event', 'unreadable']).toContain(decoded.kind);
      }),
      { numRuns: 1_000 },
    );
  });

  test('takes what a person publishes by hand', () => {
    const by = { txId: 'B7E23EC2-9AF1-4D4E-9A56-2F1A0C7D9E11', action: 'NEW', amount: 100, note: 'by hand' };

    const { event, fingerprint } = eventFrom(decode(by, { subject: 'payments.new' }));

    expect(event).toEqual({
      txId: 'b7e23ec2-9af1-4d4e-9a56-2f1a0c7d9e11',
      action: 'NEW',
      amount: 100,
      note: 'by hand',
      source: 'nats',
      eventId: fingerprint,
      receivedAt: storedAt.toISOString(),
    });
  });

  test('takes a message by hand without a note, and leaves out fields that it does not know', () => {
    const by = '{"txId":"t-1","action":"UPDATE","amount":0,"colour":"red","__proto__":{"amount":7}}';

    const { event } = eventFrom(decode(by));

    expect(event).toMatchObject({ txId: 't-1', amount: 0, note: '' });
    expect(Object.keys(event)).not.toContain('colour');
  });

  test('reads a UUID in any letter case as one transaction, and another id as it is written', () => {
    const id = randomUUID();
    const of = (txId: string) => eventFrom(decode({ txId, action: 'UPDATE', amount: 1 }));

    expect(of(id.toUpperCase()).event.txId).toBe(id);
    expect(of(id.toUpperCase()).fingerprint).toBe(of(id).fingerprint);
    expect(of('stripe:pi_A').fingerprint).not.toBe(of('stripe:pi_a').fingerprint);
  });

  test('gives times in UTC with milliseconds, and so the same identity for the same moment', () => {
    const of = (occurredAt: string) =>
      eventFrom(decode({ txId: 't', action: 'UPDATE', amount: 1, occurredAt }));

    expect(of('2026-01-02T05:04:05+02:00').event.occurredAt).toBe('2026-01-02T03:04:05.000Z');
    expect(of('2026-01-02T05:04:05+02:00').fingerprint).toBe(of('2026-01-02T03:04:05Z').fingerprint);
  });

  const good = { txId: 't', action: 'UPDATE', amount: 1, note: '' };
  test.each<
    [string, Uint8Array | string | object, string, { subject?: string; headers?: Record<string, string> }]
  >([
    ['another version', good, 'unknown-version', { headers: { 'Paystream-Version': '2' } }],
    ['bytes that are not UTF-8', new Uint8Array([0x7b, 0xff, 0x7d]), 'not-utf8', {}],
    ['a surrogate in UTF-8', new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]), 'not-utf8', {}],
    ['text that is not JSON', '{txId: 1}', 'not-json', {}],
    ['nothing', '', 'not-json', {}],
    ['a byte order mark', `\ufeff${JSON.stringify(good)}`, 'not-json', {}],
    ['null', 'null', 'not-an-event', {}],
    ['an array', [good], 'not-an-event', {}],
    ['no transaction', { ...good, txId: undefined }, 'not-an-event', {}],
    ['a transaction with a space', { ...good, txId: 'a b' }, 'not-an-event', {}],
    ['a transaction of 129 characters', { ...good, txId: 'x'.repeat(129) }, 'not-an-event', {}],
    ['an action in small letters', { ...good, action: 'update' }, 'not-an-event', {}],
    ['an unknown action', { ...good, action: 'PAID' }, 'not-an-event', {}],
    ['an amount in quotes', { ...good, amount: '1' }, 'not-an-event', {}],
    ['a fraction', { ...good, amount: 1.5 }, 'not-an-event', {}],
    ['a negative amount', { ...good, amount: -1 }, 'not-an-event', {}],
    ['a negative zero', '{"txId":"t","action":"UPDATE","amount":-0}', 'not-an-event', {}],
    [
      'an amount beyond the integers',
      '{"txId":"t","action":"UPDATE","amount":9007199254740992}',
      'not-an-event',
      {},
    ],
    ['1e300', '{"txId":"t","action":"UPDATE","amount":1e300}', 'not-an-event', {}],
    ['a note of 1,001 characters', { ...good, note: 'é'.repeat(1_001) }, 'not-an-event', {}],
    [
      'a lone surrogate in the note',
      '{"txId":"t","action":"UPDATE","amount":1,"note":"\\ud800"}',
      'not-an-event',
      {},
    ],
    ['an unknown currency', { ...good, currency: 'XXX' }, 'not-an-event', {}],
    ['a currency in small letters', { ...good, currency: 'eur' }, 'not-an-event', {}],
    ['an empty event id', { ...good, eventId: '' }, 'not-an-event', {}],
    ['a time without an offset', { ...good, occurredAt: '2026-01-02T03:04:05' }, 'not-an-event', {}],
    ['a day that does not exist', { ...good, occurredAt: '2026-02-30T00:00:00Z' }, 'not-an-event', {}],
    [
      'a time whose UTC has five digits of year',
      { ...good, occurredAt: '9999-12-31T23:59:59-01:00' },
      'not-an-event',
      {},
    ],
    ['an action on another subject', good, 'subject-mismatch', { subject: 'payments.new' }],
    ['a subject of nobody', good, 'subject-mismatch', { subject: 'orders.update' }],
  ])('refuses %s and says why', (_what, data, reason, message) => {
    const decoded = decode(data, message);

    expect(decoded).toMatchObject({ kind: 'unreadable', reason });
    expect(decoded.kind === 'unreadable' && decoded.detail.length).toBeGreaterThan(10);
  });
});

describe('the schemas', () => {
  test('take a note of 1,000 characters, counted as people count them', () => {
    expect(noteSchema.safeParse('😀'.repeat(1_000)).success).toBe(true);
    expect(noteSchema.safeParse('😀'.repeat(1_001)).success).toBe(false);
  });

  test('take event ids that fit a header, and no others', () => {
    expect(eventIdSchema.safeParse('a'.repeat(255)).success).toBe(true);
    for (const id of ['', 'a b', 'é', 'a\n', 'a'.repeat(256)]) {
      expect(eventIdSchema.safeParse(id).success).toBe(false);
    }
  });

  test('take every event that identify made', () => {
    expect(paymentEventSchema.parse(identify(golden).event)).toEqual(identify(golden).event);
  });
});

/** What JSON cannot write becomes text, so that the value as a whole is still tried. */
function writable(part: unknown): unknown {
  return typeof part === 'bigint' ? String(part) : part;
}

const unmapped = {
  source: 'stripe',
  receivedAt: '2026-01-02T03:04:05.678Z',
  webhook: { id: '0123456789abcdef0123456789abcdef', body: '{"type":"\\u0000 \\"é"}' },
  reasons: ['nothing is made of it'],
};

describe('a webhook that no event was made of', () => {
  const decodeUnmapped = (data: string | object) => decode(data, { subject: 'payments.unmapped' });

  test('travels under an id of its own, and comes out as it went in', () => {
    const { subject, id, data, headers } = encodeEvent(unmapped, { traceparent: 'trace' });

    expect([subject, id]).toEqual(['payments.unmapped', 'stripe.unmapped.0123456789abcdef0123456789abcdef']);
    expect(decode(data, { subject, headers })).toEqual({ kind: 'unmapped', unmapped });
  });

  test.each([
    ['no body', { ...unmapped, webhook: { id: unmapped.webhook.id } }],
    ['no id', { ...unmapped, webhook: { body: '{}' } }],
    ['an id of ours that is none', { ...unmapped, webhook: { id: 'x', body: '{}' } }],
    ['no reasons', { ...unmapped, reasons: undefined }],
    ['no source', { ...unmapped, source: undefined }],
    ['an event', golden],
    ['nothing', {}],
  ])('cannot be read with %s', (_name, said) => {
    expect(decodeUnmapped(said)).toMatchObject({ kind: 'unreadable', reason: 'not-a-webhook' });
  });

  test('has as many reasons as a person reads, each of some length', () => {
    const many = toUnmapped({ ...unmapped, reasons: Array.from({ length: 80 }, () => 'r'.repeat(600)) });

    expect(many.reasons).toEqual(Array.from({ length: 50 }, () => 'r'.repeat(500)));
  });
});

describe('the webhook that an event came in', () => {
  const { webhook } = unmapped;

  test('comes along, and is no part of what the event is', () => {
    const bare = identify(golden).event;
    const carrying = { ...bare, webhook };
    const { data, headers, id } = encodeEvent(carrying);

    expect(id).toBe(encodeEvent(bare).id);
    expect(eventFrom(decode(data, { headers })).event).toEqual(carrying);
    expect(identify(carrying).fingerprint).toBe(identify(golden).fingerprint);
  });
});
