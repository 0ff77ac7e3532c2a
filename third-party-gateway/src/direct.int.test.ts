import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Publisher, webhookBytesMax } from '@paystream/nats';
import { createDoor, createRegistry, type HttpServer, listen } from '@paystream/runtime';
import { pino } from 'pino';
import { openRaw } from '../../runtime/src/testing/raw-http.ts';
import { eventually } from '../../test/harness.ts';
import { createGateway } from './app.ts';
import { createGatewayMetrics } from './metrics.ts';
import type { Source } from './source.ts';
import { keepsNothing, openXPayment } from './testing/start-gateway.ts';

// The broker's word by the note of the event, so that each of its answers can be asked for.
const publisher: Publisher = {
  hasRoom: () => true,
  publish: async (said) => {
    if (!('note' in said)) throw new Error('only events are sent here');
    const { note, txId } = said;
    if (note === 'crash') throw new Error('a programming error');
    if (note === 'full')
      return { status: 'unavailable', id: txId, reason: 'stream-full', detail: 'full', retryAfterS: 30 };
    return { status: 'stored', id: `${txId}.new`, sequence: 7, duplicate: note === 'again' };
  },
};

/** One for each way in which a source can answer. */
function sourcesOf(): Source[] {
  return openXPayment().flatMap((open) => [
    open,
    { ...open, name: 'accepted', answer: 'accepted' },
    { ...open, name: 'limited', admit: async () => 3 },
    { ...open, name: 'signed', decide: () => ({ kind: 'refused', code: 'signature-wrong' }) },
    {
      ...open,
      name: 'many',
      decide: (webhook) => {
        const decision = open.decide(webhook);
        if (decision.kind !== 'accepted') return decision;
        return { ...decision, events: [...decision.events, ...decision.events] };
      },
    },
  ]);
}

interface Way {
  server: HttpServer;
  /** Through whose hands the last webhook came. */
  calledBy(): string;
  lines: Record<string, unknown>[];
}

async function startWay(direct: boolean): Promise<Way> {
  const lines: Record<string, unknown>[] = [];
  let calledBy = '';
  class Sources extends Map<string, Source> {
    override get(name: string) {
      calledBy = new Error().stack ?? '';
      return super.get(name);
    }
  }
  const sources = new Sources(sourcesOf().map((source) => [source.name, source]));
  const log = pino({ level: 'debug', base: null }, { write: (line) => void lines.push(JSON.parse(line)) });
  const readiness = () => ({ ready: true, parts: {} });
  const registry = createRegistry(readiness);
  const app = createGateway({
    log,
    readiness,
    sources: () => sources,
    publisher,
    observe: createGatewayMetrics({ registry, sources: [] }),
    metrics: { registry, door: createDoor({ tokens: [], open: true }) },
    closedBecause: () => undefined,
    ...keepsNothing,
    direct,
  });
  const timeouts = { headersTimeoutMs: 400, requestTimeoutMs: 800 };
  const server = await listen(app, { port: 0, host: '127.0.0.1', ...timeouts });
  return { server, lines, calledBy: () => calledBy };
}

let directly: Way;
let byExpress: Way;
beforeAll(async () => {
  [directly, byExpress] = [await startWay(true), await startWay(false)];
});
afterAll(async () => {
  await Promise.all([directly, byExpress].map(({ server }) => server.close(100)));
});

const txId = '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90';
const bodyOf = (fields: object = {}) =>
  JSON.stringify({ txId, action: 'NEW', amount: 1_250, note: 'order', ...fields });
const lengthOf = (body: string) => `content-length: ${Buffer.byteLength(body)}`;

interface Asked {
  line?: string;
  headers?: string[];
  body?: string;
}

/** Each request says its id and that it is the last, unless it says otherwise itself. */
const requestOf = ({
  line = 'POST /webhooks/x-payment HTTP/1.1',
  headers = ['content-type: application/json'],
  body = bodyOf(),
}: Asked = {}) =>
  [
    line,
    'host: here',
    'x-request-id: the-one',
    'connection: close',
    lengthOf(body),
    ...headers,
    '',
    body,
  ].join('\r\n');

const json = 'content-type: application/json';
const cases: [name: string, bytes: string][] = [
  ['a webhook', requestOf()],
  ['a repeat', requestOf({ body: bodyOf({ note: 'again' }) })],
  ['a note that is not ASCII', requestOf({ body: bodyOf({ note: 'Ä €' }) })],
  ['one that finds no room', requestOf({ body: bodyOf({ note: 'full' }) })],
  ['one on which we fail', requestOf({ body: bodyOf({ note: 'crash' }) })],
  ...['accepted', 'limited', 'signed', 'many'].map((name): [string, string] => [
    `a source that is ${name}`,
    requestOf({ line: `POST /webhooks/${name} HTTP/1.1` }),
  ]),
  ['a wrong field', requestOf({ body: bodyOf({ amount: -1 }) })],
  ['many wrong fields', requestOf({ body: '{"a":1,"b":2,"\\u0000":3}' })],
  ['no JSON', requestOf({ body: '{' })],
  ['an empty body', requestOf({ body: '' })],
  ['a body that is too large', requestOf({ body: 'x'.repeat(webhookBytesMax + 1) })],
  ['no content type', requestOf({ headers: [] })],
  ['another content type', requestOf({ headers: ['content-type: text/plain'] })],
  ['a compressed body', requestOf({ headers: [json, 'content-encoding: gzip'] })],
  [
    'a trace context',
    requestOf({ headers: [json, `traceparent: 00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`] }),
  ],
  ['a source’s own event id', requestOf({ headers: [json, 'webhook-id: evt-42'] })],
  ['a wrong event id', requestOf({ headers: [json, 'webhook-id: a b'] })],
  ['a request id that is not taken', requestOf({ headers: [json, 'x-request-id: a b'] })],
  ['conditions', requestOf({ headers: [json, 'if-none-match: *', 'range: bytes=0-1'] })],
  ['an expectation', requestOf({ headers: [json, 'expect: 100-continue'] })],
  ['an unknown expectation', requestOf({ headers: [json, 'expect: a-miracle'] })],
  [
    'chunks',
    requestOf({ body: '' }).replace('content-length: 0', 'transfer-encoding: chunked') +
      `${bodyOf().length.toString(16)}\r\n${bodyOf()}\r\n0\r\n\r\n`,
  ],
  ['no host', requestOf().replace('host: here\r\n', '')],
  [
    'HTTP/1.0 without a host',
    requestOf({ line: 'POST /webhooks/x-payment HTTP/1.0' }).replace('host: here\r\n', ''),
  ],
  [
    'two in one go',
    requestOf().replace('connection: close\r\n', '') + requestOf({ body: bodyOf({ note: 'again' }) }),
  ],
  ['a body that never ends', requestOf().replace(/content-length: \d+/, 'content-length: 5000')],
  ['a length that is none', requestOf().replace(/content-length: \d+/, 'content-length: many')],
  ...[
    '/webhooks/x-payment?a=1',
    '/webhooks/x-payment?',
    '/webhooks/x-payment#part',
    '/webhooks/x-payment/',
    '/webhooks//x-payment',
    '/webhooks/x%2Dpayment',
    '/webhooks/x-payment%00',
    '/webhooks/%',
    '/webhooks/',
    '/webhooks',
    '/webhooks/X-PAYMENT',
    '/Webhooks/x-payment',
    '/webhooks/other',
    '/webhooks/__proto__',
    '/webhooks/constructor',
    '//webhooks/x-payment',
    'http://here/webhooks/x-payment',
    'http://here',
    '*',
  ].map((path): [string, string] => [`POST ${path}`, requestOf({ line: `POST ${path} HTTP/1.1` })]),
  ...['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'post'].map((method): [string, string] => [
    `the method ${method}`,
    requestOf({ line: `${method} /webhooks/x-payment HTTP/1.1` }),
  ]),
];

// What differs between two answers to one request whoever gives them: the time, and what was drawn.
const settled = (text: string) =>
  text
    .replaceAll(/Date: [^\r]+/g, 'Date: now')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, (id) =>
      id === txId ? id : 'drawn',
    )
    .replaceAll(/"traceId":"[0-9a-f]{12}4[0-9a-f]{19}"/g, '"traceId":"drawn"');

/** All that comes back, and what the log tells of it. */
async function ask({ server, lines }: Way, bytes: string): Promise<{ text: string; told: unknown[] }> {
  lines.length = 0;
  const connection = openRaw(server.port);
  connection.write(bytes);
  const text = settled(await connection.closed);
  const answers = text.match(/HTTP\/1\.1 [2-5]/g)?.length ?? 0;
  await eventually(() => lines.length, { within: 300, until: (count) => count >= answers }).catch(
    () => undefined,
  );
  const told = lines.map(({ time: _time, durationMs: _duration, err, ...line }) => ({
    ...line,
    failed: err !== undefined,
  }));
  return { text, told: JSON.parse(settled(JSON.stringify(told))) };
}

describe('a webhook is answered and told in the log without Express as with it', () => {
  test.each(cases)('%s', async (_name, bytes) => {
    const [direct, express] = [await ask(directly, bytes), await ask(byExpress, bytes)];

    expect(direct.text).toMatch(/^HTTP\/1\.1 \d{3} /);
    expect(direct).toEqual(express);
  });

  test('of which the client goes away before it is sent whole', async () => {
    const half = requestOf().slice(0, -10);
    const told = async (way: Way) => {
      way.lines.length = 0;
      const connection = openRaw(way.server.port);
      connection.write(half);
      await eventually(() => connection.received().length, { within: 50, until: () => true });
      connection.cut();
      const lines = await eventually(() => way.lines, { until: ({ length }) => length > 0 });
      return lines.map(({ msg, aborted, status, code }) => ({ msg, aborted, status, code }));
    };

    expect(await told(directly)).toEqual(await told(byExpress));
  });
});

test.each([
  ['a plain webhook', '/webhooks/x-payment', true],
  ['one with a query', '/webhooks/x-payment?a=1', false],
])('%s goes past Express: %s %s', async (_name, path, isDirect) => {
  await ask(directly, requestOf({ line: `POST ${path} HTTP/1.1` }));

  expect(directly.calledBy()).toMatch(/intake\.ts/);
  expect(/node_modules.(express|router)/.test(directly.calledBy())).toBe(!isDirect);
});
