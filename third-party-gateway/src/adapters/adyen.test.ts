import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { createSource, type Decision } from '../source.ts';
import { receivedAt } from '../testing/fixtures.ts';
import { adyen } from './adyen.ts';

const keyText = 'DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00';
const key = adyen.readSecret(keyText);
if (key === undefined) throw new Error('this is a key');

const sourceWith = (settings: Record<string, unknown> = {}) =>
  createSource({
    name: 'adyen',
    adapter: adyen,
    settings: z.strictObject(adyen.settings).parse(settings),
    verifies: true,
    secrets: [{ id: 'key', key }],
    currency: undefined,
    answer: 'json',
  });

const item = (said: Record<string, unknown> = {}) => ({
  additionalData: {},
  amount: { currency: 'EUR', value: 1_000 },
  eventCode: 'AUTHORISATION',
  eventDate: '2026-03-04T06:06:07+01:00',
  merchantAccountCode: 'Merchant',
  merchantReference: 'order 1',
  pspReference: 'PSP1',
  reason: 'a reason',
  success: 'true',
  ...said,
});
const requestOf = (...items: object[]) =>
  JSON.stringify({
    live: 'false',
    notificationItems: items.map((one) => ({ NotificationRequestItem: one })),
  });
const signed = (...items: object[]) =>
  adyen.sign(
    { body: requestOf(...items), keys: [{ id: 'key', key }], at: receivedAt, id: undefined },
    {
      captureMode: 'manual',
    },
  ).body;
const decide = (body: string, settings: Record<string, unknown> = {}): Decision =>
  sourceWith(settings).decide({ headers: {}, body: Buffer.from(body), receivedAt });
const signatureOver = (text: string) =>
  createHmac('sha256', Buffer.from(keyText, 'hex')).update(text).digest('base64');

const eventsOf = (decision: Decision) => (decision.kind === 'accepted' ? decision.events : []);
const refused = (code: string) => ({ kind: 'refused', code });

describe('the signature of an item', () => {
  test('is the one that Adyen publishes for its own example', () => {
    const example = item({
      pspReference: 'pspReference',
      originalReference: 'originalReference',
      merchantAccountCode: 'merchantAccount',
      merchantReference: 'reference',
      eventCode: 'EVENT',
      additionalData: { hmacSignature: 'ipnxGCaUZ4l8TUW75a71/ghd2Fe5ffvX0pV4TLTntIc=' },
    });

    expect(decide(requestOf(example)).kind).toBe('accepted');
  });

  test.each([
    ['escaped', 'PSP1::Merchant:a\\:b\\\\c:1000:EUR:AUTHORISATION:true'],
    ['as it is', 'PSP1::Merchant:a:b\\c:1000:EUR:AUTHORISATION:true'],
  ])('may be over a reference with separators, %s', (_name, text) => {
    const additionalData = { hmacSignature: signatureOver(text) };

    expect(decide(requestOf(item({ merchantReference: 'a:b\\c', additionalData }))).kind).toBe('accepted');
  });

  test('cannot be moved to other fields: only a reference may hold separators', () => {
    const text = 'PSP1::Merchant:evil:9000:EUR:AUTHORISATION:true:1000:EUR:AUTHORISATION:false';
    const additionalData = { hmacSignature: signatureOver(text) };
    const amount = { value: 9_000, currency: 'EUR' };
    const own = item({
      merchantReference: 'evil:9000:EUR:AUTHORISATION:true',
      success: 'false',
      additionalData,
    });
    const moved = [
      item({
        merchantReference: 'evil',
        amount,
        success: 'true:1000:EUR:AUTHORISATION:false',
        additionalData,
      }),
      item({
        merchantAccountCode: 'Merchant:evil:9000:EUR:AUTHORISATION',
        merchantReference: 'true',
        success: 'false',
        additionalData,
      }),
      item({
        pspReference: 'PSP1::Merchant:evil',
        originalReference: '9000',
        merchantAccountCode: 'EUR',
        merchantReference: 'AUTHORISATION:true',
        success: 'false',
        additionalData,
      }),
    ];

    expect(decide(requestOf(own)).kind).toBe('accepted');
    for (const one of moved) expect(decide(requestOf(one))).toEqual(refused('signature-malformed'));
  });

  test.each([
    'pspReference',
    'originalReference',
    'merchantAccountCode',
    'merchantReference',
    'eventCode',
    'success',
  ])('covers %s', (field) => {
    const { notificationItems } = JSON.parse(signed(item()));
    notificationItems[0].NotificationRequestItem[field] = 'other';

    expect(decide(JSON.stringify({ notificationItems }))).toEqual(refused('signature-wrong'));
  });

  test.each([
    ['missing', {}, 'signature-missing'],
    ['no text', { hmacSignature: 1 }, 'signature-malformed'],
    ['not base64', { hmacSignature: '*' }, 'signature-malformed'],
    ['of another length', { hmacSignature: 'AAAA' }, 'signature-wrong'],
  ])('that is %s refuses the whole request', (_name, additionalData, code) => {
    const { notificationItems } = JSON.parse(signed(item(), item({ pspReference: 'PSP2' })));
    notificationItems[1].NotificationRequestItem.additionalData = additionalData;

    expect(decide(JSON.stringify({ notificationItems }))).toEqual(refused(code));
  });

  test.each(['{}', '[]', 'null', '{"notificationItems":{}}', '{"notificationItems":[]}'])(
    'is missing where there is no item: %s',
    (body) => {
      expect(decide(body)).toEqual(refused('signature-missing'));
    },
  );
});

describe('an item', () => {
  test('is the money where Adyen captures by itself', () => {
    expect(eventsOf(decide(signed(item()), { captureMode: 'auto' }))).toMatchObject([
      { action: 'APPROVED', amount: 1_000 },
    ]);
  });

  test.each([
    ['CAPTURE', 'true', 1_000],
    ['CAPTURE_FAILED', 'true', 0],
  ])(
    '%s says again what was captured by itself, and is not one more capture',
    (eventCode, success, amount) => {
      const one = signed(item({ eventCode, success, pspReference: 'PSP2', originalReference: 'PSP1' }));

      const [event] = eventsOf(decide(one, { captureMode: 'auto' }));
      expect(event).toMatchObject({ txId: 'adyen:PSP1', action: 'CAPTURED', amount });
      expect(event?.reference).toBeUndefined();
    },
  );

  test('that cancels has a reference of its own: a second one that fails says nothing of the first', () => {
    const cancel = (pspReference: string, success: string) =>
      item({ eventCode: 'CANCELLATION', pspReference, originalReference: 'PSP1', success });

    expect(eventsOf(decide(signed(cancel('C1', 'true'), cancel('C2', 'false'))))).toMatchObject([
      { action: 'CANCELED', reference: 'C1', amount: 1_000 },
      { action: 'CANCELED', reference: 'C2', amount: 0 },
    ]);
  });

  test.each([
    ['CHARGEBACK', 1_000],
    ['CHARGEBACK_REVERSED', 0],
    ['SECOND_CHARGEBACK', 1_000],
    ['PREARBITRATION_WON', 0],
    ['PREARBITRATION_LOST', 1_000],
  ])(
    '%s is the last word on its dispute, and is kept where it does not say of which payment',
    (eventCode, amount) => {
      const said = { eventCode, pspReference: 'D1' };

      expect(eventsOf(decide(signed(item({ ...said, originalReference: 'PSP1' }))))).toMatchObject([
        { txId: 'adyen:PSP1', action: 'DISPUTED', reference: 'D1', amount },
      ]);
      expect(decide(signed(item(said)))).toMatchObject({
        events: [],
        unmapped: ['item 1 does not say of which payment it is'],
      });
    },
  );

  test('says its success as a text or as a boolean', () => {
    expect(eventsOf(decide(signed(item({ success: false }))))).toMatchObject([
      { action: 'DECLINED', eventId: 'PSP1:AUTHORISATION:false' },
    ]);
  });

  test('belongs to the payment that it is a part of, and has its time in UTC', () => {
    const capture = item({ eventCode: 'CAPTURE', pspReference: 'PSP2', originalReference: 'PSP1' });

    expect(eventsOf(decide(signed(capture)))).toMatchObject([
      { txId: 'adyen:PSP1', reference: 'PSP2', occurredAt: '2026-03-04T05:06:07.000Z' },
    ]);
  });

  test('with a time that cannot be read is taken without it', () => {
    const [event] = eventsOf(decide(signed(item({ eventDate: '2026-03-04T06:06:07' }))));

    expect(event).toMatchObject({ action: 'AUTHORIZED' });
    expect(event?.occurredAt).toBeUndefined();
  });

  test.each([
    ['of another account', item({ merchantAccountCode: 'Other' })],
    ['of a type that nobody mapped', item({ eventCode: 'REPORT_AVAILABLE' })],
    [
      'about a failure that did not happen',
      item({ eventCode: 'CAPTURE_FAILED', originalReference: 'PSP1', success: 'false' }),
    ],
    [
      'that cancels nothing',
      item({ eventCode: 'CANCELLATION', originalReference: 'PSP1', amount: { value: 0, currency: 'EUR' } }),
    ],
    ['in no currency', item({ amount: { value: 1, currency: 'XXX' } })],
    ['with an amount that is a text', item({ amount: { value: '1000', currency: 'EUR' } })],
  ])('%s is kept and makes no event, and those beside it do', (_name, one) => {
    const decision = decide(signed(one, item({ pspReference: 'PSP9' })), { account: 'Merchant' });

    expect(eventsOf(decision).map(({ txId }) => txId)).toEqual(['adyen:PSP9']);
    expect(decision).toMatchObject({ unmapped: [expect.any(String)] });
  });
});
