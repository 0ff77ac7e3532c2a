import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openRaw, parseAnswer, sendRaw } from '../../runtime/src/testing/raw-http.ts';
import { eventually, get, post, webhook } from '../../test/harness.ts';
import { startTestGateway, type TestGateway } from './testing/start-gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway({ timeouts: { headersTimeoutMs: 300, requestTimeoutMs: 600 } });
});
afterAll(() => gateway.close());

const limit = 262_144;
/** A valid webhook of exactly that many bytes: white space is as good as anything to fill it. */
const webhookOf = (size: number) => JSON.stringify(webhook()).padEnd(size, ' ');

const head = (...lines: string[]) =>
  `${['POST /webhooks/x-payment HTTP/1.1', 'host: gateway', 'content-type: application/json', ...lines].join('\r\n')}\r\n\r\n`;
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

describe('the size of a body', () => {
  test('may be 256 KiB, with and without content-length', async () => {
    const whole = await post(gateway, webhookOf(limit));
    const chunked = await sendRaw(
      gateway.port,
      head('transfer-encoding: chunked', 'connection: close'),
      `${chunk(webhookOf(limit))}0\r\n\r\n`,
    );

    expect([whole.status, chunked.status]).toEqual([200, 200]);
  });

  test.each([limit + 1, 20 * limit])('may not be %i bytes, and the sender sees the answer', async (size) => {
    const before = await gateway.stored();

    const whole = await post(gateway, webhookOf(size));
    const chunked = await fetch(`${gateway.url}/webhooks/x-payment`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: new Blob([webhookOf(size)]).stream(),
      duplex: 'half',
    } as RequestInit);

    expect([whole.status, chunked.status]).toEqual([413, 413]);
    expect(whole.body).toMatchObject({
      code: 'body-too-large',
      detail: 'The body must have at most 262144 bytes.',
    });
    expect(await gateway.stored()).toBe(before);
  });

  test('is refused by its content-length, before a byte of it has come', async () => {
    const connection = openRaw(gateway.port);
    connection.write(head(`content-length: ${limit + 1}`));

    const received = await eventually(connection.received, { until: (text) => text.endsWith('}') });

    expect(parseAnswer(received).json).toMatchObject({ status: 413, code: 'body-too-large' });
    connection.cut();
  });
});

describe('a connection on which too much was sent', () => {
  test.each([
    ['with content-length', head(`content-length: ${limit + 1}`), 'x'.repeat(limit + 1)],
    [
      'in chunks',
      head('transfer-encoding: chunked'),
      `${chunk('x'.repeat(limit + 1))}${chunk('x'.repeat(limit))}0\r\n\r\n`,
    ],
  ])('%s serves the next request', async (_name, first, tooMuch) => {
    const connection = openRaw(gateway.port);
    connection.write(first);
    connection.write(tooMuch);
    await eventually(connection.received, { until: (seen) => seen.includes('body-too-large') });

    connection.write('GET /healthz HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n');

    expect(await connection.closed).toContain('"alive"');
  });
});

describe('a sender that is too slow', () => {
  test.each([
    ['with the headers', 'POST /webhooks/x-payment HTTP/1.1\r\nhost: gateway\r\n'],
    ['with the body', `${head('content-length: 100')}{"txId":`],
    ['with a chunked body', `${head('transfer-encoding: chunked')}8\r\n{"txId":\r\n`],
    ['to say anything', ''],
  ])('%s is answered 408 and cut off', async (_name, sent) => {
    const startedAt = performance.now();
    const answer = await sendRaw(gateway.port, sent);

    // Node would look for such a one every 30 s.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(answer.json).toMatchObject({ status: 408, code: 'request-timeout' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([408, 'application/problem+json']);
    expect(answer.headers.get('connection')).toBe('close');
  });

  test('is in hand no longer when it was answered', async () => {
    const slow = [head('content-length: 100'), `${head('transfer-encoding: chunked')}8\r\n{"txId":\r\n`];
    await Promise.all(slow.map((sent) => sendRaw(gateway.port, sent)));

    const metrics = await eventually(() => fetch(`${gateway.url}/metrics`).then((seen) => seen.text()), {
      until: (text) => text.includes('\npaystream_webhooks_in_flight 0\n'),
    });
    expect(metrics).toMatch(/refused_total\{source="x-payment",reason="request-timeout"\} [1-9]/);
  });

  test('leaves a line in the log once its headers were read', async () => {
    const answer = await sendRaw(gateway.port, head('content-length: 100', 'x-request-id: slow-1'));

    expect(answer.headers.get('x-request-id')).toBe('slow-1');
    expect(await gateway.linesOf('slow-1')).toMatchObject([{ status: 408, source: 'x-payment' }]);
  });

  test('does not keep others waiting', async () => {
    const slow = Array.from({ length: 50 }, () => openRaw(gateway.port));
    for (const connection of slow) connection.write(head('content-length: 100'));

    const answer = await post(gateway, webhook());

    expect(answer.status).toBe(200);
    for (const connection of slow) connection.cut();
  });
});

const text = JSON.stringify(webhook());
const length = (body: string) => `content-length: ${Buffer.byteLength(body)}`;
/** A webhook that would be taken, were its transfer encoding another. */
const chunkedBy = (coding: string) => `${head(`transfer-encoding: ${coding}`)}${chunk(text)}0\r\n\r\n`;

describe('a request that breaks the rules of HTTP', () => {
  test.each([
    ['another protocol', '\x16\x03\x01\x02\x00\x01\r\n\r\n'],
    ['no host', 'GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n'],
    ['two lengths', head('content-length: 5', 'content-length: 6')],
    ['a length and chunks', head('content-length: 5', 'transfer-encoding: chunked')],
    ['a negative length', head('content-length: -1')],
    ['a line break without CR', 'POST /webhooks/x-payment HTTP/1.1\nhost: gateway\ncontent-length: 2\n\n{}'],
    ['two hosts', head('host: other', 'content-length: 0')],
    ['the same length twice', head('content-length: 5', 'content-length: 5')],
    ['a length in hex', head('content-length: 0x10')],
    ['a length beyond all numbers', head(`content-length: ${'9'.repeat(30)}`)],
    ['a space behind the name of a header', head('transfer-encoding : chunked')],
    ['a header folded to two lines', head('transfer-encoding:\r\n chunked')],
    ['a line break without LF in a header', head('x-note: a\rx-more: b')],
    ['a header without a name', head(': a')],
    ['chunks by another name', head('transfer-encoding: xchunked')],
    ['chunks that are not the last coding', head('transfer-encoding: chunked, identity')],
    ['chunks that are compressed', chunkedBy('gzip, chunked')],
    ['chunks twice', chunkedBy('identity\r\ntransfer-encoding: chunked')],
    ['chunks in HTTP/1.0', chunkedBy('chunked').replace('HTTP/1.1', 'HTTP/1.0')],
    ['a chunk behind which no line ends', `${head('transfer-encoding: chunked')}2\r\n{}}0\r\n\r\n`],
    ['a chunk beyond all numbers', `${head('transfer-encoding: chunked')}${'f'.repeat(17)}\r\n`],
    ['another version of HTTP', 'GET /healthz HTTP/2.0\r\nhost: gateway\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a wish for a tunnel', 'CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\n\r\n'],
    ['a method that nobody knows', 'BREW / HTTP/1.1\r\nhost: gateway\r\n\r\n'],
    ['an address that cannot be read', 'GET http://[ HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n'],
    ['a NUL in a header', head('x-note: a\0b')],
    ['a chunk size that is no number', `${head('transfer-encoding: chunked')}zz\r\n${text}\r\n0\r\n\r\n`],
    ['a space in the address', 'GET /a b HTTP/1.1\r\nhost: gateway\r\n\r\n'],
    [
      'a path that is not percent-encoding',
      'POST /webhooks/%zz HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n',
    ],
    ['an overlong slash', 'POST /webhooks/%c0%af HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n'],
  ])('(%s) is answered 400', async (_name, sent) => {
    const answer = await sendRaw(gateway.port, sent);

    expect(answer.json).toMatchObject({ status: 400, code: 'malformed-request' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/problem+json']);
  });

  test.each([
    ['17 KB of headers', head(`x-long: ${'a'.repeat(17_000)}`)],
    ['an address of 17 KB', `GET /${'a'.repeat(17_000)} HTTP/1.1\r\nhost: gateway\r\n\r\n`],
    // Node would leave out what comes behind the 2,000th without a word: here that the body is compressed.
    [
      '2,000 headers',
      head(
        'connection: close',
        ...Array(2_000).fill('a:'),
        'content-encoding: gzip',
        `content-length: ${text.length}`,
      ) + text,
    ],
    [
      '17 KB behind its last chunk',
      `${head('transfer-encoding: chunked')}${chunk(text)}0\r\nx-long: ${'a'.repeat(17_000)}\r\n\r\n`,
    ],
  ])('with %s is answered 431', async (_name, sent) => {
    const answer = await sendRaw(gateway.port, sent);

    expect(answer.json).toMatchObject({ status: 431, code: 'headers-too-large' });
  });

  test('and is cut while a tunnel is refused leaves the gateway alive', async () => {
    const connection = openRaw(gateway.port);
    connection.write('CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\n\r\n');
    await eventually(connection.received, { until: (seen) => seen.includes('malformed-request') });
    connection.cut();

    expect((await post(gateway, webhook())).status).toBe(200);
  });

  test('behind a good one does not spoil the answer to that', async () => {
    const answer = await sendRaw(
      gateway.port,
      `${head(`content-length: ${text.length}`)}${text}GARBAGE\r\n\r\n`,
    );

    expect([answer.status, answer.json?.message]).toEqual([200, 'success']);
  });

  test('and ends in the middle is answered 400', async () => {
    const connection = openRaw(gateway.port);
    connection.write(`${head('content-length: 100')}{"txId":`);
    connection.end();

    expect(parseAnswer(await connection.closed).json).toMatchObject({
      status: 400,
      code: 'malformed-request',
    });
  });

  test('and is cut in the middle leaves a line without a status, and the next one is served', async () => {
    const connection = openRaw(gateway.port);
    connection.write(`${head('content-length: 100', 'x-request-id: cut-1', 'expect: 100-continue')}{"txId":`);
    await eventually(connection.received, { until: (seen) => seen.includes('100 Continue') });
    connection.cut();

    const [line] = await gateway.linesOf('cut-1');
    expect(line).toMatchObject({ msg: 'request.answered', aborted: true });
    expect(line).not.toHaveProperty('status');
    expect((await post(gateway, webhook())).status).toBe(200);
  });
});

describe('the address of a webhook', () => {
  test.each(['stripe', '__proto__', 'constructor', 'x-payment%2f', 'X-PAYMENT', '%00', 'payments.>'])(
    'with the source %s is not known',
    async (source) => {
      const answer = await post(gateway, webhook(), { path: `/webhooks/${source}` });

      expect([answer.status, answer.body.code]).toEqual([404, 'unknown-source']);
    },
  );

  test.each(['/webhooks', '/webhooks/x-payment/more', '/WEBHOOKS/x-payment', '/webhook/x-payment'])(
    'is not %s',
    async (path) => {
      const answer = await post(gateway, webhook(), { path });

      expect([answer.status, answer.body.code]).toEqual([404, 'not-found']);
    },
  );

  test.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    'does not take %s, and says what it takes',
    async (method) => {
      const answer = await fetch(`${gateway.url}/webhooks/x-payment`, { method });

      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
    },
  );

  test('echoes nothing to TRACE', async () => {
    const answer = await sendRaw(
      gateway.port,
      head('connection: close', 'x-secret: mine').replace('POST', 'TRACE'),
    );

    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
    expect(answer.text).not.toContain('mine');
  });

  test.each([
    [
      'a wish for another protocol',
      head('connection: upgrade, close', 'upgrade: websocket', length(text)) + text,
    ],
    ['a wish for HTTP/2', head('connection: upgrade, close', 'upgrade: h2c', length(text)) + text],
    [
      'headers behind its last chunk',
      `${head('transfer-encoding: chunked', 'connection: close')}${chunk(text)}0\r\ncontent-encoding: gzip\r\nhost: other\r\n\r\n`,
    ],
  ])('does not mind %s', async (_name, sent) => {
    expect(await sendRaw(gateway.port, sent)).toMatchObject({ status: 200, json: { message: 'success' } });
  });

  test('takes a client that waits for 100 Continue, and ignores other expectations', async () => {
    const tail = ['connection: close', `content-length: ${text.length}`];

    const waiting = openRaw(gateway.port);
    waiting.write(head('expect: 100-continue', ...tail));
    await eventually(waiting.received, { until: (seen) => seen.includes('100 Continue') });
    waiting.write(text);
    const other = await sendRaw(gateway.port, head('expect: a-miracle', ...tail), text);

    expect([parseAnswer(await waiting.closed).status, other.status]).toEqual([200, 200]);
  });

  test('answers OK at the root, where people look first', async () => {
    expect(await get(gateway, '/')).toMatchObject({ status: 200, body: 'OK' });
  });
});
