import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import Stripe from 'stripe';
import { createSource } from '../source.ts';
import { adapterCases, receivedAt } from '../testing/fixtures.ts';
import { stripe } from './stripe.ts';

const secret = 'whsec_test_secret';
const { webhooks } = Stripe;
const key = stripe.readSecret(secret);
if (key === undefined) throw new Error('this is a secret');

const sourceWith = (settings: Record<string, unknown> = {}, verifies = true) =>
  createSource({
    name: 'stripe',
    adapter: stripe,
    settings,
    verifies,
    secrets: [{ id: 'key', key }],
    currency: undefined,
    answer: 'json',
  });
const source = sourceWith();
const open = sourceWith({}, false);

const time = Math.floor(receivedAt.getTime() / 1_000);
const decide = (header: string, body: string | Uint8Array) =>
  source.decide({ headers: { 'stripe-signature': header }, body: Buffer.from(body), receivedAt });
const oursTakes = (header: string, body: string) => decide(header, body).kind === 'accepted';
function officialTakes(header: string, body: string | Uint8Array): boolean {
  try {
    webhooks.constructEvent(Buffer.from(body), header, secret, undefined, undefined, receivedAt.getTime());
    return true;
  } catch {
    return false;
  }
}
const officialHeader = (payload: string, timestamp = time) =>
  webhooks.generateTestHeaderString({ payload, secret, timestamp });

describe('Stripe', () => {
  test('signs as in a vector computed by hand', () => {
    const body = '{"id":"evt_1","object":"event"}';
    const header = 't=1614265330,v1=42b3d2b2181207b6b299df380bf37599bb895dc182467ba12e046b1916c4cd19';
    const at = new Date(1_614_265_330_000);

    expect(
      source.decide({ headers: { 'stripe-signature': header }, body: Buffer.from(body), receivedAt: at })
        .kind,
    ).toBe('accepted');
  });

  test('signs so that the official library takes it, with several secrets too', () => {
    const [one] = adapterCases().filter(({ adapter }) => adapter === stripe);
    const header = one?.sign('{"a":1}', { secrets: one.secrets }).headers['stripe-signature'];

    for (const text of ['whsec_first_sample_secret', 'whsec_second_sample_secret']) {
      expect(webhooks.constructEvent('{"a":1}', String(header), text, 300, undefined, +receivedAt)).toEqual({
        a: 1,
      });
    }
  });
});

const body = fc
  .dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.json())
  .map((value) => JSON.stringify(value));
const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
const item = fc.oneof(
  hex.map((made) => `v1=${made}`),
  hex.map((made) => `v0=${made}`),
  fc.constantFrom('v1=', 'v1', '', 'x=1', 'v1=zz', 'V1=aa'),
);

describe('our verdict and that of the official library', () => {
  test('are the same for what Stripe sends and for what is changed on its way', () => {
    const verdicts = new Set<boolean>();
    fc.assert(
      fc.property(
        body,
        fc.integer({ min: 0, max: 330 }),
        fc.array(item, { maxLength: 4 }),
        fc.constantFrom('none', 'body', 'time', 'case', 'cut', 'no time', 'right one missing'),
        (payload, age, others, how) => {
          const readable = others.filter((other) => /^[a-z0-9]+=[0-9a-zA-Z]+$/.test(other));
          const made = officialHeader(payload, time - age);
          const [t = '', v1 = ''] = made.split(',');
          const header = {
            none: [t, ...readable, v1],
            body: [t, v1],
            time: [`t=${time - age + 1}`, v1],
            case: [t, v1.toUpperCase().replace('V1', 'v1')],
            cut: [t, v1.slice(0, -1)],
            'no time': [v1],
            'right one missing': [t, ...others],
          }[how].join(',');
          const sentBody = how === 'body' ? `${payload} ` : payload;

          const verdict = officialTakes(header, sentBody);

          verdicts.add(verdict);
          expect(oursTakes(header, sentBody)).toBe(verdict);
        },
      ),
      { numRuns: 1_000 },
    );
    expect(verdicts.size).toBe(2);
  });

  const right = officialHeader('{}');
  const [t = '', v1 = ''] = right.split(',');
  const stricter: [name: string, header: string, reason: string][] = [
    [
      'a time 301 s ahead',
      officialHeader('{}', time + 301),
      'a clock that is wrong is to be seen, and no signature kept for later',
    ],
    ['two times', `t=1,${right}`, 'which one was signed is a guess'],
    ['words behind the time', `${t}junk,${v1}`, 'it signs another text than the header says'],
    ['a zero before the time', `t=0${time},${v1}`, 'the same'],
    ['a second equals sign', `${t},${v1}=x`, 'the header is not what it should be'],
    ['an item without a name', `${right},`, 'the header is not what it should be'],
    ['eleven signatures', `${t},${'v1=00,'.repeat(10)}${v1}`, 'each costs a comparison for each secret'],
    ['the header twice, as Node joins it', `${right}, ${right}`, 'who put in the second one is not known'],
  ];
  test.each(stricter)('differ on purpose for %s', (_name, header) => {
    expect([officialTakes(header, '{}'), oursTakes(header, '{}')]).toEqual([true, false]);
  });

  test('differ on purpose for a byte that is not UTF-8: the library signs what it takes it for', () => {
    const sent = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    const header = officialHeader(new TextDecoder().decode(sent));

    expect([officialTakes(header, sent), decide(header, sent)]).toEqual([
      true,
      { kind: 'refused', code: 'signature-wrong' },
    ]);
  });
});

const eventsOf = (event: Record<string, unknown>, from = open) => {
  const body = Buffer.from(JSON.stringify({ id: 'evt_1', created: time, ...event }));
  const decision = from.decide({ headers: {}, body, receivedAt });
  return decision.kind === 'accepted' ? decision : undefined;
};
const refund = (status: string) => ({
  type: 'refund.updated',
  data: { object: { id: 're_1', payment_intent: 'pi_1', amount: 500, currency: 'eur', status } },
});
const dispute = (status: string) => ({
  type: 'charge.dispute.updated',
  data: { object: { id: 'dp_1', payment_intent: 'pi_1', amount: 500, currency: 'eur', status } },
});

describe('an event of Stripe', () => {
  test.each([
    ['pending', 500],
    ['requires_action', 500],
    ['succeeded', 500],
    ['failed', 0],
    ['canceled', 0],
  ])('about a refund that is %s says that %i is refunded', (status, amount) => {
    expect(eventsOf(refund(status))?.events).toMatchObject([
      { action: 'REFUNDED', txId: 'stripe:pi_1', reference: 're_1', amount },
    ]);
  });

  test.each([
    ['needs_response', 500],
    ['under_review', 500],
    ['lost', 500],
    ['won', 0],
    ['warning_needs_response', 0],
    ['warning_closed', 0],
  ])('about a dispute that is %s says that %i is disputed', (status, amount) => {
    expect(eventsOf(dispute(status))?.events).toMatchObject([
      { action: 'DISPUTED', txId: 'stripe:pi_1', reference: 'dp_1', amount },
    ]);
  });

  test.each([
    ['without a payment intent', { ...refund('succeeded'), data: { object: { id: 're_1', amount: 1 } } }],
    ['of an unknown type', { type: 'payment_intent.sighed', data: { object: { id: 'pi_1' } } }],
    ['without a type', { data: { object: { id: 'pi_1' } } }],
    ['without an object', { type: 'payment_intent.created' }],
    [
      'in no currency',
      {
        ...refund('succeeded'),
        data: { object: { id: 're_1', payment_intent: 'pi_1', amount: 1, currency: 'zzz' } },
      },
    ],
  ])('%s makes no event and is kept', (_name, event) => {
    expect(eventsOf(event)).toMatchObject({
      events: [],
      unmapped: [expect.any(String)],
      webhook: { source: 'stripe' },
    });
  });

  test('with a description that is too long for a note is taken with its beginning', () => {
    const object = { id: 'pi_1', amount: 1, currency: 'eur', description: '😀'.repeat(1_500) };

    const taken = eventsOf({ type: 'payment_intent.created', data: { object } });

    expect([...(taken?.events[0]?.note ?? '')]).toHaveLength(1_000);
  });

  test.each([
    ['acct_1', 1],
    ['acct_2', 0],
    [undefined, 0],
  ])('of the account %s makes %i events where acct_1 is set', (account, count) => {
    const event = { ...refund('succeeded'), account, livemode: true };
    const taken = eventsOf(event, sourceWith({ account: 'acct_1' }, false));

    expect(taken?.events).toHaveLength(count);
  });

  // Stripe sends test events of a connected account to the live endpoint, signed with its secret.
  test.each([
    ['a live one', true, { account: 'acct_1' }, 1],
    ['a test one', false, { account: 'acct_1' }, 0],
    ['one that does not say', undefined, { account: 'acct_1' }, 0],
    ['a test one', false, { account: 'acct_1', livemode: false }, 1],
    ['a live one', true, { livemode: false }, 0],
    ['a test one', false, { livemode: true }, 0],
    ['a test one', false, {}, 1],
  ])('%s (livemode: %s) with the settings %j makes %i events', (_name, livemode, settings, count) => {
    const event = { ...refund('succeeded'), account: 'acct_1', livemode };
    const taken = eventsOf(event, sourceWith(settings, false));

    expect([taken?.events.length, taken?.unmapped.length]).toEqual([count, 1 - count]);
  });

  test.each([
    ['2024-10-28.acacia', 1],
    ['2025-03-31.basil', 0],
    ['2026-01-28', 0],
    [undefined, 0],
  ])(
    'about a refund with API version %s is applied, with %i doubts for a person to see',
    (version, doubts) => {
      const taken = eventsOf({ ...refund('succeeded'), api_version: version });

      expect([taken?.events.length, taken?.unmapped.length]).toEqual([1, doubts]);
    },
  );
});
