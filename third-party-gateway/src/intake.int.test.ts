import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Answer, post as postTo, twice, webhook } from '../../test/harness.ts';
import { startTestGateway, type TestGateway } from './testing/start-gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway.close());

const post = (body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  postTo(gateway, body, { headers });

const emoji = '😀';
const uuid = '7D444840-9DC0-11D1-B245-5FFDCE74FAD2';

interface Accepted {
  body: unknown;
  headers?: Record<string, string>;
  stored: Record<string, unknown>;
}

const fieldsAs = (fields: Parameters<typeof webhook>[0]): Accepted => {
  const body = webhook(fields);
  return { body, stored: { ...body, eventId: expect.stringMatching(/^[0-9a-f]{32}$/) } };
};

const accepted: [string, Accepted][] = [
  ['NEW', fieldsAs({ action: 'NEW' })],
  ['DRAFT', fieldsAs({ action: 'DRAFT' })],
  ['UPDATE', fieldsAs({ action: 'UPDATE' })],
  ['APPROVED', fieldsAs({ action: 'APPROVED' })],
  ['the smallest amount', fieldsAs({ amount: 1 })],
  ['the largest amount', fieldsAs({ amount: 9_007_199_254_740_991 })],
  ['an empty note', fieldsAs({ note: '' })],
  ['a note of 1,000 characters', fieldsAs({ note: 'n'.repeat(1_000) })],
  ['a note of 1,000 emoji', fieldsAs({ note: emoji.repeat(1_000) })],
  ['a note with line breaks, NUL, U+2028 and quotes', fieldsAs({ note: 'a\r\nb\u0000c\u2028d"e\\' })],
  ['a note in several scripts', fieldsAs({ note: 'Zahlung für Øre, 支払い, دفع' })],
  ['a note that looks like an operator', fieldsAs({ note: '{"$gt":""}' })],
  ['a txId in upper case', { body: webhook({ txId: uuid }), stored: { txId: uuid.toLowerCase() } }],
  ['a txId in mixed case', { body: webhook({ txId: `${uuid.slice(0, 30)}abcdef` }), stored: {} }],
  ['keys in another order', reordered()],
  ['white space all around', spaced()],
  ['escapes in keys and values', escaped()],
  ['a media type with charset', withHeader('content-type', 'application/json; charset=UTF-8')],
  ['a media type with a quoted charset', withHeader('content-type', 'Application/JSON;charset="utf-8"')],
  ['an encoding that changes nothing', withHeader('content-encoding', 'identity')],
  ['a webhook-id', withId('evt-1')],
  ['a webhook-id of 255 characters', withId('~'.repeat(255))],
];

function reordered(): Accepted {
  const { txId, action, amount, note } = webhook();
  return { body: { note, amount, action, txId }, stored: { txId, action, amount, note } };
}

function spaced(): Accepted {
  const body = webhook();
  return { body: `\r\n\t ${JSON.stringify(body, undefined, 4)} \n`, stored: body };
}

function escaped(): Accepted {
  const body = webhook({ note: 'é😀/' });
  const text = JSON.stringify(body)
    .replace('"note"', '"n\\u006fte"')
    .replace('é😀/', '\\u00e9\\ud83d\\ude00\\/');
  return { body: text, stored: body };
}

function withHeader(name: string, value: string): Accepted {
  const body = webhook();
  return { body, headers: { [name]: value }, stored: body };
}

function withId(id: string): Accepted {
  const body = webhook();
  return { body, headers: { 'webhook-id': id }, stored: { ...body, eventId: id } };
}

describe('POST /webhooks/x-payment takes', () => {
  test.each(accepted)('%s, stores it as it was said, and knows it the second time', async (_name, sent) => {
    const before = await gateway.stored();

    const [first, second] = await twice(() => post(sent.body, sent.headers));
    const message = await gateway.message(first.body.sequence);

    expect([first.status, first.body.duplicate]).toEqual([200, false]);
    expect(second.body).toEqual({ ...first.body, duplicate: true });
    expect(await gateway.stored()).toBe(before + 1);
    expect(message.event).toMatchObject({ source: 'x-payment', ...sent.stored });
    expect(message.subject).toBe(`payments.${message.event.action.toLowerCase()}`);
    expect(message.header('Nats-Msg-Id')).toBe(first.body.id);
  });
});

describe('the stored message', () => {
  test('is there before the 200, with its id, version and time of receipt', async () => {
    const body = webhook();

    const sentAt = new Date().toISOString();
    const { body: answer } = await post(body);
    const message = await gateway.message(answer.sequence);

    expect(answer).toEqual({
      message: 'success',
      duplicate: false,
      id: expect.stringMatching(new RegExp(`^${body.txId}\\.new\\.[0-9a-f]{32}$`)),
      sequence: message.sequence,
    });
    expect(message.header('Nats-Msg-Id')).toBe(answer.id);
    expect(message.header('Paystream-Version')).toBe('1');
    expect(message.event.receivedAt >= sentAt).toBe(true);
    expect(message.event.receivedAt <= new Date().toISOString()).toBe(true);
    expect(answer.id.endsWith(message.event.eventId)).toBe(true);
  });

  test('carries on the trace of the sender', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

    const { body } = await post(webhook(), { traceparent });

    expect((await gateway.message(body.sequence)).header('traceparent')).toBe(traceparent);
  });

  test.each([
    undefined,
    'nonsense',
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
    '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01',
  ])('begins a trace where the sender gives %s', async (given) => {
    const { body } = await post(webhook(), given === undefined ? {} : { traceparent: given });

    const made = (await gateway.message(body.sequence)).header('traceparent');
    expect(made).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(made).not.toBe(given);
  });

  test('is another one for another amount, note, action or webhook-id', async () => {
    const body = webhook({ action: 'UPDATE' });
    const others = [
      () => post(body),
      () => post({ ...body, amount: 2 }),
      () => post({ ...body, note: 'other' }),
      () => post({ ...body, action: 'DRAFT' }),
      () => post(body, { 'webhook-id': 'a' }),
      () => post(body, { 'webhook-id': 'b' }),
    ];

    const answers = await Promise.all(others.map((send) => send()));

    expect(answers.map((answer) => answer.body.duplicate)).toEqual(others.map(() => false));
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(others.length);
  });

  test('is one for 200 equal requests in parallel, and each of them is answered 200', async () => {
    const before = await gateway.stored();
    const body = webhook();

    const answers = await Promise.all(Array.from({ length: 200 }, () => post(body)));

    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200));
    expect(answers.filter((answer) => answer.body.duplicate === false)).toHaveLength(1);
    expect(new Set(answers.map((answer) => answer.body.sequence)).size).toBe(1);
    expect(await gateway.stored()).toBe(before + 1);
  });
});

describe('the log line of a webhook', () => {
  test('is one, and says what was stored and under which request id', async () => {
    const requestId = randomUUID();
    const body = webhook({ note: 'private' });

    const answer = await post(body, { 'x-request-id': requestId });

    const lines = await gateway.linesOf(requestId);
    expect(answer.headers.get('x-request-id')).toBe(requestId);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      msg: 'request.answered',
      method: 'POST',
      path: '/webhooks/x-payment',
      status: 200,
      source: 'x-payment',
      txId: body.txId,
      action: 'NEW',
      outcome: 'stored',
      duplicate: false,
      sequence: answer.body.sequence,
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(JSON.stringify(lines)).not.toContain('private');
  });
});
