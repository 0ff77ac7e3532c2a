import { type KeyObject, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sendRaw } from '../../runtime/src/testing/raw-http.ts';
import { type Answer, post, twice } from '../../test/harness.ts';
import type { Signed } from './adapters/adapter.ts';
import { hmac } from './signatures.ts';
import { adapterCases } from './testing/fixtures.ts';
import { startTestGateway, type TestGateway } from './testing/start-gateway.ts';

const canary = `canary-${randomUUID()}`;
// What is sent is signed with the clock that the gateway has.
const cases = adapterCases({ at: new Date(), note: canary });
let gateway: TestGateway;
let publishFails = 0;
beforeAll(async () => {
  gateway = await startTestGateway({
    sources: () => cases.map((one) => one.source()),
    publisher: (real) => ({
      ...real,
      publish: (said, trace) => {
        publishFails -= 1;
        if (publishFails !== 0) return real.publish(said, trace);
        const outcome = {
          status: 'unavailable',
          reason: 'no-answer',
          detail: 'lost',
          retryAfterS: 2,
        } as const;
        return Promise.resolve({ ...outcome, id: '' });
      },
    }),
  });
});
afterAll(() => gateway.close());

const send = (
  source: string,
  { body, headers }: Signed,
  more: Record<string, string> = {},
): Promise<Answer> => post(gateway, body, { path: `/webhooks/${source}`, headers: { ...headers, ...more } });
const messagesOf = ({ body }: Answer): { id: string; sequence: number; duplicate: boolean }[] =>
  body.messages ?? [{ id: body.id, sequence: body.sequence, duplicate: body.duplicate }];
const storedOf = (answer: Answer) =>
  Promise.all(messagesOf(answer).map(({ sequence }) => gateway.message(sequence)));

describe.each(cases.map((one) => [one.adapter.name, one] as const))('POST /webhooks/%s', (name, one) => {
  test.each(one.fixtures.map((fixture) => [fixture.type, fixture] as const))(
    'stores all that comes of %s, and nothing the second time',
    async (_type, { body, events, unmapped }) => {
      const before = await gateway.stored();
      const id = randomUUID();
      const sent = one.sign(body.replaceAll('evt_1', id), { id });

      const [first, second] = await twice(() => send(name, sent));
      const stored = await storedOf(first);

      const expected = events.length + (unmapped > 0 ? 1 : 0);
      expect([first.status, second.status]).toEqual([200, 200]);
      expect(messagesOf(second).map((message) => message.duplicate)).toEqual(
        messagesOf(first).map(() => true),
      );
      expect(await gateway.stored()).toBe(
        before + messagesOf(first).filter((message) => !message.duplicate).length,
      );
      expect(stored).toHaveLength(expected);
      expect(stored.filter(({ subject }) => subject.endsWith('.unmapped'))).toHaveLength(
        unmapped > 0 ? 1 : 0,
      );
      for (const { event } of stored) expect(event.source).toBe(name);
    },
  );

  test('refuses what is not signed, without a word about what would be right', async () => {
    const requestId = randomUUID();
    const [sample] = one.fixtures;
    const before = await gateway.stored();

    const answer = await send(name, { body: sample?.body ?? '', headers: {} }, { 'x-request-id': requestId });

    expect(answer.status).toBe(401);
    expect(answer.body).toEqual({
      type: 'urn:paystream:problem:signature-missing',
      title: 'The webhook is not signed',
      status: 401,
      detail: 'The webhook is not signed.',
      code: 'signature-missing',
      requestId,
      message: 'The webhook is not signed.',
    });
    expect(await gateway.stored()).toBe(before);
  });

  test('refuses it with any of its headers twice, which Node makes one of', async () => {
    const { body, headers } = one.sign(one.fixtures[0]?.body ?? '');
    const head = [
      `POST /webhooks/${name} HTTP/1.1`,
      'host: gateway',
      'connection: close',
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
      ...Object.entries(headers).map(([field, value]) => `${field}: ${value}`),
    ];

    const answers = await Promise.all(
      one.headers.map((header) =>
        sendRaw(gateway.port, [...head, `${header}: ${headers[header]}`, '', body].join('\r\n')),
      ),
    );

    expect(answers.map(({ status }) => status)).toEqual(one.headers.map(() => 401));
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1'])(
    'takes no %s',
    async (type) => {
      const [sample] = one.fixtures;

      const answer = await send(name, one.sign(sample?.body ?? ''), { 'content-type': type });

      expect([answer.status, answer.body.code]).toEqual([415, 'unsupported-media-type']);
    },
  );

  test('logs which secret it was, and nothing of the body, a signature or a secret', async () => {
    const requestId = randomUUID();
    const [sample] = one.fixtures;
    const sent = one.sign(sample?.body ?? '');

    await send(name, sent, { 'x-request-id': requestId });
    const lines = await gateway.linesOf(requestId);

    const text = JSON.stringify(lines);
    expect(lines).toMatchObject([{ key: 'key-1', source: name, status: 200 }]);
    expect(text).not.toContain(canary);
    for (const header of one.headers.filter((each) => /signature/.test(each))) {
      expect(text).not.toContain(sent.headers[header]);
    }
  });
});

test('bytes that are not UTF-8 are looked at only where they are signed', async () => {
  const [one] = cases.filter(({ adapter }) => adapter.name === 'x-payment');
  const body = Buffer.from('{"note":"\xff"}', 'latin1');
  const time = String(Math.floor(Date.now() / 1_000));
  const sendWith = (key: KeyObject | undefined) => {
    const signature =
      key === undefined ? '0'.repeat(64) : hmac('sha256', key, [`${time}.`, body]).toString('hex');
    return post(gateway, body, {
      path: '/webhooks/x-payment',
      headers: { 'x-timestamp': time, 'x-signature': signature },
    });
  };

  const [unsigned, signed] = [await sendWith(undefined), await sendWith(one?.secrets[0].key)];

  expect([unsigned.status, unsigned.body.code]).toEqual([401, 'signature-wrong']);
  expect([signed.status, signed.body.detail]).toEqual([400, 'The body is not valid UTF-8.']);
});

describe('a webhook with several items', () => {
  const [adyen] = cases.filter(({ adapter }) => adapter.name === 'adyen');
  const item = (pspReference: string) => ({
    NotificationRequestItem: {
      amount: { currency: 'EUR', value: 100 },
      eventCode: 'AUTHORISATION',
      eventDate: '2026-03-04T05:06:07.000Z',
      merchantAccountCode: 'M',
      merchantReference: 'r',
      pspReference,
      success: 'true',
    },
  });
  const batchOf = (...pspReferences: string[]): Signed => {
    const signed = adyen?.sign(JSON.stringify({ notificationItems: pspReferences.map(item) }));
    if (signed === undefined) throw new Error('adyen is not in the list');
    return signed;
  };
  const bodiesOf = async (answer: Answer) =>
    (await storedOf(answer)).map(({ event }) => event.webhook.body !== undefined);

  test('is published item by item, and its body once, with the first', async () => {
    const sent = batchOf(randomUUID(), randomUUID(), randomUUID());

    const answer = await send('adyen', sent);
    const stored = await storedOf(answer);

    expect(stored.map(({ event }) => event.webhook.body)).toEqual([sent.body, undefined, undefined]);
    expect(new Set(stored.map(({ event }) => event.webhook.id)).size).toBe(1);
  });

  test('sends its body with the first item that the broker does not hold already', async () => {
    const known = randomUUID();
    await send('adyen', batchOf(known));

    const answer = await send('adyen', batchOf(known, randomUUID(), randomUUID()));

    // The first is the one from before, with the body of that webhook.
    expect(messagesOf(answer).map(({ duplicate }) => duplicate)).toEqual([true, false, false]);
    expect(await bodiesOf(answer)).toEqual([true, true, false]);
  });

  test('is answered 503 when one of its items could not be stored, and complete when it comes again', async () => {
    const sent = batchOf(randomUUID(), randomUUID(), randomUUID());
    publishFails = 2;

    const first = await send('adyen', sent);
    const second = await send('adyen', sent);

    expect([first.status, first.headers.get('retry-after')]).toEqual([503, '2']);
    expect(second.status).toBe(200);
    expect(messagesOf(second).map(({ duplicate }) => duplicate)).toContain(false);
    expect(messagesOf(second)).toHaveLength(3);
  });

  test('may hold as many items as a body has room for', async () => {
    const count = 300;
    const sent = batchOf(...Array.from({ length: count }, () => randomUUID()));

    const answer = await send('adyen', sent);

    expect(answer.status).toBe(200);
    expect(new Set(messagesOf(answer).map(({ id }) => id)).size).toBe(count);
  });
});

test('a body of 256 KiB in which every character needs a backslash finds room beside its event', async () => {
  const [one] = cases.filter(({ adapter }) => adapter.name === 'hmac');
  const [sample] = one?.fixtures.filter(({ events }) => events.length === 1) ?? [];
  const { '0': head = '' } = /^.*"id":"evt_1"/.exec(sample?.body ?? '') ?? [];
  const body = (sample?.body ?? '').replace(head, head.replace('evt_1', randomUUID()));
  // Escaped quotes: two characters here, four in the message.
  const filler = (bytes: number) => `${body.slice(0, -1)},"filler":"${'\\"'.repeat(bytes / 2)}"}`;
  const room = 262_144 - Buffer.byteLength(filler(0));

  const signed = one?.sign(filler(room - (room % 2)));
  const answer = await send('hmac', signed ?? { body: '', headers: {} });
  const [stored] = await storedOf(answer);

  expect(answer.status).toBe(200);
  expect(stored?.event.webhook.body).toBe(signed?.body);
});

test('[accepted] is the answer where the source says so', async () => {
  const [adyen] = cases.filter(({ adapter }) => adapter.name === 'adyen');
  if (adyen === undefined) throw new Error('adyen is not in the list');
  const other = await startTestGateway({ sources: () => [{ ...adyen.source(), answer: 'accepted' }] });
  const [sample] = adyen.fixtures;
  const { body, headers } = adyen.sign(sample?.body ?? '');

  const [first, second] = await twice(() => post(other, body, { path: '/webhooks/adyen', headers }));

  expect([first.status, first.body, first.headers.get('content-type')]).toEqual([
    200,
    '[accepted]',
    'text/plain; charset=utf-8',
  ]);
  expect([second.status, second.body]).toEqual([200, '[accepted]']);
  await other.close();
});
