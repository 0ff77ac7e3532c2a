import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { operatorEntry, problemCodes, problems } from '@paystream/runtime';
import fc from 'fast-check';
import { sendRaw } from '../runtime/src/testing/raw-http.ts';
import { adapterCases } from '../third-party-gateway/src/testing/fixtures.ts';
import { eventually, get, type System, startSystem, throwAwayFolder, webhook } from './harness.ts';

// The same requests in every run of the tests; FUZZ_SEED and FUZZ_RUNS look further.
const seed = Number(process.env.FUZZ_SEED ?? 1);
const numRuns = Number(process.env.FUZZ_RUNS ?? 12);
const fuzz = { seed, numRuns };
// Of each run, at the same time and each on a connection of its own.
const together = { minLength: 1, maxLength: 40, size: 'max' } as const;

const folder = throwAwayFolder('fuzz');
const operatorToken = 'the-token-of-otto';
const json = 'content-type: application/json';
const cases = adapterCases({ at: new Date() });
let system: System;
let gateway: Service;
let payments: Service;
/** Messages that 200s told of, and that the stream did not hold before. */
let promised = 0;
/** Who hung up before an answer came. */
let unanswered = 0;
/** Senders of half a request, who wait meanwhile. */
let slow: Promise<{ status: number; seconds: number }>[] = [];

beforeAll(async () => {
  const sources = cases.map(({ adapter, settings }) => [
    adapter.name,
    { adapter: adapter.name, ...settings, verify: 'none' },
  ]);
  writeFileSync(join(folder.path, 'sources.yaml'), JSON.stringify(Object.fromEntries(sources)));
  system = await startSystem();
  gateway = await system.startGateway({ SOURCES_FILE: join(folder.path, 'sources.yaml') });
  await gateway.ready();
  slow = [
    howLong('POST /webhooks/x-payment HTTP/1.1\r\nhost: gateway\r\n'),
    howLong(`POST /webhooks/x-payment HTTP/1.1\r\nhost: gateway\r\n${json}\r\ncontent-length: 9\r\n\r\n{`),
  ];
});
afterAll(async () => {
  await system.close();
  folder.remove();
});

const portOf = ({ url }: Service) => Number(new URL(url ?? '').port);

// A webhook is answered in a few milliseconds; who was not answered by then has sent half of something.
const quietMs = 300;

/** All that comes back until the service closes, which it must soon: we say no more once we were answered. */
function exchange(port: number, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = connect(port, '127.0.0.1');
    const quiet = setTimeout(() => socket.end(), quietMs);
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error('the connection hangs'));
    }, 8_000);
    socket.on('data', (part) => {
      parts.push(part);
      if (!part.includes('100 Continue')) socket.end();
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(quiet);
      clearTimeout(late);
      resolve(Buffer.concat(parts));
    });
    socket.write(bytes);
  });
}

async function howLong(half: string): Promise<{ status: number; seconds: number }> {
  const startedAt = performance.now();
  const { status } = await sendRaw(portOf(gateway), half);
  return { status, seconds: (performance.now() - startedAt) / 1_000 };
}

interface Answer {
  status: number;
  type: string;
  body: string;
}

/** Every answer on the connection, one behind the other. */
function answersIn(bytes: Buffer): Answer[] {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return [];
  const head = bytes.subarray(0, end).toString('latin1');
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
  const rest = bytes.subarray(end + 4);
  const answer = {
    status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]),
    type: /^content-type: (.*)$/im.exec(head)?.[1] ?? '',
    body: rest.subarray(0, length).toString('utf8'),
  };
  return [answer, ...answersIn(rest.subarray(length))];
}

/** What every answer is, whatever was asked. */
function check({ status, type, body }: Answer): void {
  expect(status).toBeGreaterThanOrEqual(100);
  expect(status).toBeLessThan(500);
  if (status < 400) return;
  const { code, ...problem } = JSON.parse(body);
  expect([type, problemCodes.includes(code)]).toEqual(['application/problem+json', true]);
  expect(problem.status).toBe(status);
  expect(problem.status).toBe(problems[code as keyof typeof problems].status);
  expect(body.length).toBeLessThan(20_000);
}

/** How many messages of an answer are new in the stream. */
function newIn({ status, body }: Answer): number {
  if (status !== 200 || !body.startsWith('{"message":"success"')) return 0;
  const { messages, ...only } = JSON.parse(body);
  return (messages ?? [only]).filter(({ duplicate }: { duplicate: boolean }) => !duplicate).length;
}

async function ask(service: Service, bytes: Uint8Array): Promise<Answer[]> {
  const answers = answersIn(await exchange(portOf(service), bytes));
  for (const answer of answers) check(answer);
  if (answers.every(({ status }) => status === 100)) unanswered += 1;
  promised += answers.reduce((sum, answer) => sum + newIn(answer), 0);
  return answers;
}

async function stored(): Promise<number> {
  const manager = await (await system.nats()).jetstreamManager();
  return (await manager.streams.info('payment')).state.messages;
}

/** As a request is written when nothing is wrong with it. */
function requestOf({ line, headers, body }: { line: string; headers: string[]; body: Uint8Array }): Buffer {
  const length = `content-length: ${body.length}`;
  return Buffer.concat([
    Buffer.from(`${[line, 'host: here', length, ...headers].join('\r\n')}\r\n\r\n`, 'latin1'),
    body,
  ]);
}

const addresses = [
  ...[
    '/webhooks/x-payment',
    '/webhooks/x-payment?a[$ne]=1',
    '/webhooks//x-payment',
    '/webhooks/%2e%2e/x-payment',
  ],
  ...[
    '//webhooks/x-payment',
    'http://here/webhooks/x-payment',
    'http://[',
    'http://a:b@c/',
    '*',
    '/%00',
    '/%ff',
  ],
  ...[
    '/',
    '/healthz',
    '/readyz?',
    '/openapi.json',
    '/api-docs/..%2f',
    '/webhooks/__proto__',
    '/transactions',
  ],
];
const odd = [
  ...[
    'transfer-encoding: chunked',
    'transfer-encoding: gzip, chunked',
    'content-length: 0',
    'content-length: 99',
  ],
  ...['connection: close', 'connection: upgrade\r\nupgrade: websocket', 'expect: 100-continue', 'expect: x'],
  ...[
    'content-encoding: gzip',
    'content-type: text/plain',
    'host: other',
    'x-a: b\r\n c',
    'x-a: b\nc: d',
    'x-\0: a',
  ],
  ...[
    'webhook-id: \xff',
    'webhook-id: a, b',
    'x-request-id: \x1b[31m',
    'traceparent: 00-0-0-00',
    'range: bytes=9-',
  ],
  ...[
    'if-match: "a"',
    '__proto__: a',
    'trailer: host',
    'authorization: Bearer \xe4',
    `x-a: ${'a'.repeat(17_000)}`,
  ],
];

const uuidOf = (n: number) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;

// Mostly as it should be: what is wrong everywhere is refused by the first to look.
const mostly = <T, U>(usual: T, others: fc.Arbitrary<U>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: others });
const bodies = fc.oneof(
  { weight: 4, arbitrary: fc.nat().map((n) => Buffer.from(JSON.stringify(webhook({ txId: uuidOf(n) })))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text)) },
  { weight: 1, arbitrary: fc.nat(200_000).map((depth) => Buffer.from('['.repeat(depth))) },
);
const whole = fc
  .record({
    method: mostly('POST', fc.constantFrom('GET', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PURGE')),
    address: mostly('/webhooks/x-payment', fc.oneof(fc.constantFrom(...addresses), fc.webUrl(), fc.string())),
    version: mostly('HTTP/1.1', fc.constantFrom('HTTP/1.0', 'HTTP/2.0', 'HTTP/9')),
    header: mostly('x-a: b', fc.oneof(fc.constantFrom(...odd), fc.string())),
    body: bodies,
  })
  .map(({ method, address, version, header, body }) =>
    requestOf({ line: `${method} ${address} ${version}`, headers: [json, header], body }),
  );

const change = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom('set', 'insert', 'delete', 'repeat'),
  byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 9, 10, 13, 32, 44, 58, 59)),
});

/** A few bytes of it are others: where they matter most is its head. */
const broken = fc.tuple(whole, mostly([], fc.array(change, { maxLength: 4 }))).map(([request, changes]) =>
  changes.reduce((bytes, { at, kind, byte }) => {
    const place = Math.floor(at * Math.min(bytes.length, 300));
    const before = bytes.subarray(0, place);
    const after = bytes.subarray(kind === 'insert' || kind === 'repeat' ? place : place + 1);
    const between = kind === 'repeat' ? bytes.subarray(Math.max(0, place - 40), place) : Buffer.of(byte);
    return Buffer.concat([before, kind === 'delete' ? Buffer.of() : between, after]);
  }, request),
);

// Nobody waits here, and a method whose answer has no body would hide where the next one begins.
const askable = (bytes: Buffer) => !/HEAD|wait=[1-9]/.test(bytes.toString('latin1'));

describe('whatever comes over a socket', () => {
  test('is answered by a document that says what is wrong, and never published when it was refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(broken.filter(askable), together), async (requests) => {
        await Promise.all(requests.map((bytes) => ask(gateway, bytes)));
      }),
      fuzz,
    );
    expect(promised).toBeGreaterThan(0);
    expect(await stored()).toBeGreaterThanOrEqual(promised);
    expect(await stored()).toBeLessThanOrEqual(promised + unanswered);
  });
});

describe('whatever stands in a body', () => {
  // Any part of a webhook that would be understood is something else.
  const samples = cases.flatMap(({ adapter, fixtures }) =>
    fixtures.map(({ body }) => ({ source: adapter.name, body })),
  );
  const partly = fc
    .record({
      sample: fc.constantFrom(...samples),
      at: fc.nat(1_000),
      value: fc.oneof(
        fc.json({ maxDepth: 3 }),
        fc.constantFrom('1e400', '-0', '"\\ud800"', '{"__proto__":1}', '\0'),
      ),
    })
    .map(({ sample: { source, body }, at, value }) => {
      const parts = [...body.matchAll(/(?<=:)("[^"]*"|\d+|true|false|null|\{\})/g)];
      const part = parts[at % parts.length];
      const start = part?.index ?? 0;
      return { source, body: body.slice(0, start) + value + body.slice(start + (part?.[0].length ?? 0)) };
    });

  test('is taken whole or refused whole, by every adapter', async () => {
    const before = await stored();
    promised = 0;
    unanswered = 0;
    const seen = new Set<number>();

    await fc.assert(
      fc.asyncProperty(fc.array(partly, together), async (sent) => {
        const answers = await Promise.all(
          sent.map(({ source, body }) =>
            ask(
              gateway,
              requestOf({
                line: `POST /webhooks/${source} HTTP/1.1`,
                headers: [json],
                body: Buffer.from(body),
              }),
            ),
          ),
        );
        for (const { status } of answers.flat()) seen.add(status);
      }),
      fuzz,
    );

    expect([[...seen].sort(), unanswered]).toEqual([[200, 400], 0]);
    expect(await stored()).toBe(before + promised);
  });
});

describe('whatever the payment-service is asked', () => {
  // Not before: it takes out of the stream what is counted there.
  beforeAll(async () => {
    payments = await system.startPayments({
      OPERATOR_TOKENS: operatorEntry({ name: 'otto', role: 'operator', token: operatorToken }),
    });
    await payments.ready();
  });

  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.constantFrom(
      '',
      '0',
      '-1',
      '101',
      '1e3',
      '999999999999999',
      '9'.repeat(400),
      'new',
      'NEW',
      '{"$ne":null}',
      '$where',
    ),
    fc.constantFrom(
      '0000-01-01T00:00:00Z',
      '9999-12-31T23:59:59.999+23:59',
      '2026-02-30T00:00:00Z',
      '2026-01-01T24:00:00Z',
    ),
    fc.date({ noInvalidDate: false }).map(String),
    fc
      .tuple(fc.bigInt({ min: 0n, max: 10n ** 17n }), fc.stringMatching(/^[0-9a-f]{23,25}$/))
      .map(([time, id]) => Buffer.from(`${time}.${id}`).toString('base64url')),
  );
  const names = [
    'status',
    'status[$ne]',
    'source',
    'action',
    'from',
    'to',
    'limit',
    'cursor',
    'reason',
    'sequence',
    '__proto__',
    'wait[]',
  ];
  const query = fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...names), text), text), { maxLength: 4 })
    .map((pairs) => new URLSearchParams(pairs).toString());
  const segment = fc.oneof(
    text,
    fc.constantFrom('1', '0'.repeat(32), 'stripe:pi_1', '..', '%', '%00', 'redrive'),
  );
  const roots = ['/transactions', '/dead-letters', '/redrives', '/replay', '/webhooks-received'];
  const address = fc
    .tuple(fc.constantFrom(...roots), fc.array(segment.map(encodeURIComponent), { maxLength: 2 }), query)
    .map(([root, segments, asked]) => `${[root, ...segments].join('/')}?${asked}`);
  const order = fc.oneof(
    fc.json({ maxDepth: 3 }),
    fc
      .record(
        {
          reason: fc.jsonValue(),
          filter: fc.jsonValue(),
          dryRun: fc.constant(true),
          speed: fc.oneof(fc.double(), fc.jsonValue()),
          mode: fc.jsonValue(),
          finishWithin: text,
          limit: fc.oneof(fc.integer(), fc.jsonValue()),
          cursor: text,
        },
        { requiredKeys: ['dryRun'] },
      )
      .map((value) => JSON.stringify(value)),
  );

  test('is answered by a document that says what is wrong, over a socket', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(broken.filter(askable), together), async (requests) => {
        await Promise.all(requests.map((bytes) => ask(payments, bytes)));
      }),
      fuzz,
    );
  });

  test('is answered, or refused with the parameters that are wrong', async () => {
    const token = fc.constantFrom(
      `Bearer ${operatorToken}`,
      'Bearer \xff',
      'Basic a',
      `Bearer ${'a'.repeat(9_000)}`,
      `Bearer ${operatorToken}, x`,
    );
    const asked = fc.record({
      method: fc.constantFrom('GET', 'GET', 'POST', 'PUT'),
      address,
      headers: fc.tuple(
        token.map((value) => `authorization: ${value}`),
        fc.constantFrom('if-none-match: *', `if-none-match: ${'W/"1",'.repeat(2_000)}`, 'x: y'),
      ),
      body: order.map((value) => Buffer.from(value)),
    });

    await fc.assert(
      fc.asyncProperty(fc.array(asked, together), async (requests) => {
        await Promise.all(
          requests.map(({ method, address: path, headers, body }) => {
            const withBody = method === 'GET' ? Buffer.of() : body;
            return ask(
              payments,
              requestOf({ line: `${method} ${path} HTTP/1.1`, headers: [json, ...headers], body: withBody }),
            );
          }),
        );
      }),
      fuzz,
    );
  });
});

test('who sends slowly was answered 408 in time, whatever went on', async () => {
  const [headers, body] = await Promise.all(slow);

  expect([headers?.status, body?.status]).toEqual([408, 408]);
  expect(headers?.seconds).toBeGreaterThan(4.9);
  expect(headers?.seconds).toBeLessThan(9);
  expect(body?.seconds).toBeGreaterThan(9.9);
  expect(body?.seconds).toBeLessThan(14);
});

test('both services are as well as before, and had no error to tell of', async () => {
  for (const service of [gateway, payments]) {
    await eventually(() => get(service, '/readyz'), { until: ({ status }) => status === 200 });
    for (const line of service.lines) expect(() => JSON.parse(line)).not.toThrow();
    expect(service.lines.filter((line) => /request\.failed|service\.failed|"err"/.test(line))).toEqual([]);
  }
});
