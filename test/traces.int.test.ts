import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort, type Service } from '@paystream/local';
import mongoose from 'mongoose';
import { headers } from 'nats';
import { type Collector, type SeenSpan, startCollector } from './collector.ts';
import {
  type Answer,
  eventually,
  get,
  post,
  type System,
  startSystem,
  throwAwayFolder,
  untilQuiet,
  webhook,
} from './harness.ts';

let system: System;
let collector: Collector;
const closing: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  system = await startSystem();
  collector = await startCollector();
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(async () => {
  await system.close();
  await collector.close();
});

const hex = (bytes: number) => randomBytes(bytes).toString('hex');
const kinds = { server: 2, producer: 4, consumer: 5 };

/** Both services with these settings, ready. */
async function startBoth(env: Record<string, string>): Promise<{ gateway: Service; payments: Service }> {
  const [gateway, payments] = await Promise.all([system.startGateway(env), system.startPayments(env)]);
  closing.push(() => Promise.all([gateway.stop(), payments.stop()]));
  await Promise.all([gateway.ready(), payments.ready()]);
  return { gateway, payments };
}

const linesOf = ({ lines }: Service, message: string) =>
  lines.filter((line) => line.includes(`"msg":"${message}"`)).map((line) => JSON.parse(line));

const untilSpans = (traceId: string, until: (spans: SeenSpan[]) => boolean) =>
  eventually(() => collector.spans.filter((span) => span.traceId === traceId), { until });

describe('a webhook', () => {
  let gateway: Service;
  let payments: Service;
  beforeAll(async () => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20key',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    };
    [gateway, payments] = await Promise.all([system.startGateway(env), system.startPayments(env)]);
    await Promise.all([gateway.ready(), payments.ready()]);
  });
  afterAll(() => Promise.all([gateway.stop(), payments.stop()]));

  test('is one trace from the sender to the record: request, publish, apply', async () => {
    const [traceId, senderId] = [hex(16), hex(8)];
    const body = webhook();

    const answer = await post(gateway, body, { headers: { traceparent: `00-${traceId}-${senderId}-01` } });
    const spans = await untilSpans(traceId, (seen) => seen.length >= 3);
    const ofIt = ({ txId }: { txId?: string }) => txId === body.txId;
    const settled = await eventually(() => linesOf(payments, 'message.settled').filter(ofIt), {
      until: (lines) => lines.length > 0,
    });

    const [request, publish, apply] = ['third-party-gateway', 'third-party-gateway', 'payment-service'].map(
      (service, index) =>
        spans.find((span) => span.service === service && span.kind === Object.values(kinds)[index]),
    );
    expect(spans).toHaveLength(3);
    expect(request).toMatchObject({
      name: 'POST /webhooks/:source',
      parentSpanId: senderId,
      status: 0,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/webhooks/:source',
        'http.response.status_code': 200,
        'url.path': '/webhooks/x-payment',
        'url.scheme': 'http',
      },
    });
    expect(publish).toMatchObject({
      name: 'publish payments.new',
      parentSpanId: request?.spanId,
      attributes: {
        'messaging.system': 'nats',
        'messaging.destination.name': 'payments.new',
        'messaging.operation.type': 'send',
        'messaging.message.id': answer.body.id,
        'paystream.sequence': answer.body.sequence,
        'paystream.duplicate': false,
      },
    });
    expect(apply).toMatchObject({
      name: 'apply payments.new',
      parentSpanId: publish?.spanId,
      links: [],
      attributes: {
        'messaging.operation.type': 'process',
        'messaging.message.id': answer.body.id,
        'paystream.deliveries': 1,
        'paystream.outcome': 'applied',
        'paystream.tx_id': body.txId,
      },
    });
    expect(collector.headers()['api-key']).toBe('a key');
    expect(linesOf(gateway, 'request.answered').filter(ofIt)).toMatchObject([{ traceId }]);
    expect(settled).toMatchObject([{ traceId }]);
  });

  test('that is not to be recorded has no span anywhere, and its trace id in every line', async () => {
    const [quiet, loud] = [hex(16), hex(16)];

    await post(gateway, webhook(), { headers: { traceparent: `00-${quiet}-${hex(8)}-00` } });
    await post(gateway, webhook(), { headers: { traceparent: `00-${loud}-${hex(8)}-01` } });
    await untilSpans(loud, (seen) => seen.length === 3);

    expect(collector.spans.filter(({ traceId }) => traceId === quiet)).toEqual([]);
    expect(linesOf(gateway, 'request.answered').map(({ traceId }) => traceId)).toContain(quiet);
    expect(linesOf(payments, 'message.settled').map(({ traceId }) => traceId)).toContain(quiet);
  });

  test('that is refused is a request and no more, and none of our errors', async () => {
    const traceId = hex(16);

    const sent = { traceparent: `00-${traceId}-${hex(8)}-01` };
    expect((await post(gateway, webhook({ amount: -1 }), { headers: sent })).status).toBe(400);
    const [span, ...others] = await untilSpans(traceId, (seen) => seen.length > 0);

    expect(span).toMatchObject({ kind: kinds.server, status: 0 });
    expect(span?.attributes['http.response.status_code']).toBe(400);
    expect(others).toEqual([]);
    expect(linesOf(gateway, 'request.answered')).toContainEqual(
      expect.objectContaining({ traceId, status: 400 }),
    );
  });
});

describe('a message that is handed out again', () => {
  test('has a span for each delivery, each but the first linked to the first', async () => {
    const { gateway, payments } = await startBoth({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    const connection = await mongoose.createConnection(system.mongoUri).asPromise();
    closing.push(() => connection.close());
    const refuse = (validator: object) => connection.db?.command({ collMod: 'transactions', validator });
    const [traceId, { txId }] = [hex(16), webhook()];

    await refuse({ txId: { $ne: txId } });
    await post(gateway, webhook({ txId }), { headers: { traceparent: `00-${traceId}-${hex(8)}-01` } });
    await eventually(() => linesOf(payments, 'message.settled').length, { until: (count) => count > 0 });
    await refuse({});
    const spans = await untilSpans(traceId, (seen) =>
      seen.some(({ attributes }) => attributes['paystream.outcome'] === 'applied'),
    );

    const publish = spans.find(({ kind }) => kind === kinds.producer);
    const [first, ...again] = spans
      .filter(({ kind }) => kind === kinds.consumer)
      .toSorted(
        (a, b) => Number(a.attributes['paystream.deliveries']) - Number(b.attributes['paystream.deliveries']),
      );
    expect(first).toMatchObject({ parentSpanId: publish?.spanId, links: [], status: 2 });
    expect(first?.attributes).toMatchObject({ 'error.type': 'retry', 'paystream.deliveries': 1 });
    expect(again.length).toBeGreaterThan(0);
    for (const [index, span] of again.entries()) {
      expect(span.attributes['paystream.deliveries']).toBe(index + 2);
      expect(span).toMatchObject({
        parentSpanId: publish?.spanId,
        links: [{ traceId, spanId: first?.spanId }],
      });
    }
    const lines = linesOf(payments, 'message.settled');
    expect(lines.map((line) => line.outcome)).toEqual(expect.arrayContaining(['retry', 'applied']));
    expect(new Set(lines.map((line) => line.traceId))).toEqual(new Set([traceId]));
  });
});

describe('a message that lies elsewhere before it is applied', () => {
  test('keeps its trace when it is set aside and replayed', async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, REPLAY_LIVE_WITHIN: '1ms' };
    const gateway = await system.startGateway(env);
    closing.push(() => gateway.stop());
    await gateway.ready();
    const [traceId, body] = [hex(16), webhook()];

    await post(gateway, body, { headers: { traceparent: `00-${traceId}-${hex(8)}-01` } });
    const payments = await system.startPayments(env);
    closing.push(() => payments.stop());
    const spans = await untilSpans(traceId, (seen) => seen.length >= 3);

    const publish = spans.find(({ kind }) => kind === kinds.producer);
    expect(spans.find(({ kind }) => kind === kinds.consumer)).toMatchObject({
      name: 'apply payments.new',
      parentSpanId: publish?.spanId,
      attributes: { 'paystream.from': 'backlog', 'paystream.outcome': 'applied' },
    });
    expect(linesOf(payments, 'message.settled')).toMatchObject([{ traceId, txId: body.txId }]);
  });

  test('keeps its trace as a dead letter and in a redrive', async () => {
    const token = hex(24);
    const payments = await system.startPayments({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OPERATOR_TOKENS: `anna:operator:${createHash('sha256').update(token).digest('hex')}`,
    });
    closing.push(() => payments.stop());
    await payments.ready();
    const [traceId, hdrs] = [hex(16), headers()];
    const traceparent = `00-${traceId}-${hex(8)}-01`;
    hdrs.set('traceparent', traceparent);

    await (await system.nats()).jetstream().publish('payments.new', '{not json', { headers: hdrs });
    await untilQuiet(system);
    const letters = (await (await system.nats()).jetstreamManager()).streams;
    const letter = await letters.getMessage('payment-dead-letters', {
      last_by_subj: 'dead-letters.payments.new',
    });
    const redriven = await post(
      payments,
      { reason: 'to see' },
      { path: `/dead-letters/${letter.seq}/redrive`, headers: { authorization: `Bearer ${token}` } },
    );
    const spans = await untilSpans(traceId, (seen) => seen.length >= 2);

    expect(letter.header.get('traceparent')).toBe(traceparent);
    expect(redriven.body).toMatchObject({ outcome: 'failed' });
    expect(spans.map(({ attributes }) => attributes['paystream.from']).sort()).toEqual([
      'dead-letters',
      'payment',
    ]);
    expect(spans.map(({ status }) => status)).toEqual([2, 2]);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(2);
    expect(linesOf(payments, 'message.settled')).toMatchObject([{ traceId, outcome: 'unreadable' }]);
    expect(linesOf(payments, 'dead-letter.redriven')).toMatchObject([{ traceId, outcome: 'failed' }]);
  });
});

describe('a collector', () => {
  /** Takes connections and never says a word. */
  const startSilent = async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return `http://127.0.0.1:${port}`;
  };

  test.each([
    ['is away', async () => `http://127.0.0.1:${await freePort()}`],
    ['is silent', startSilent],
  ])('that %s costs no webhook, no time at the stop, and at most a line in the log', async (_name, start) => {
    const { gateway, payments } = await startBoth({ OTEL_EXPORTER_OTLP_ENDPOINT: await start() });

    const answers: Answer[] = [];
    // A thousand at once are a flood, of which a busy machine refuses some.
    while (answers.length < 1_000)
      answers.push(...(await Promise.all(Array.from({ length: 100 }, () => post(gateway, webhook())))));
    await untilQuiet(system);
    const stoppedAt = performance.now();
    const exits = await Promise.all([gateway.stop(), payments.stop()]);

    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(linesOf(payments, 'message.settled')).toHaveLength(1_000);
    expect(exits).toEqual(Array(2).fill({ code: 0, signal: null }));
    expect(performance.now() - stoppedAt).toBeLessThan(5_000);
    for (const service of [gateway, payments]) {
      expect(linesOf(service, 'traces.not-taken').length).toBeLessThanOrEqual(1);
      expect(service.lines.filter((line) => !line.startsWith('{'))).toEqual([]);
    }
  });
});

describe('without an endpoint', () => {
  test('the trace id stands in the lines of both services all the same', async () => {
    const { gateway, payments } = await startBoth({});
    const [traceId, body] = [hex(16), webhook()];

    await post(gateway, body, { headers: { traceparent: `00-${traceId}-${hex(8)}-01` } });
    await get(payments, `/transactions/${body.txId}?wait=5`);
    await untilQuiet(system);

    const line = expect.objectContaining({ traceId, txId: body.txId });
    expect(linesOf(gateway, 'request.answered')).toContainEqual(line);
    expect(linesOf(payments, 'message.settled')).toContainEqual(line);
  });

  // All but the package of its interfaces, which the library of the metrics has for itself.
  test('nothing of OpenTelemetry that makes or sends spans is loaded', async () => {
    const folder = throwAwayFolder('probe');
    closing.push(folder.remove);
    const probe = join(folder.path, 'probe.mjs');
    writeFileSync(
      probe,
      `import { writeSync } from 'node:fs';
import Module from 'node:module';
const loaded = () => Object.keys(Module._cache).filter((path) => /@opentelemetry.(?!api.)/.test(path)).length;
process.on('exit', () => writeSync(1, \`loaded: \${loaded()}\\n\`));`,
    );
    const NODE_OPTIONS = `--import ${probe}`;

    const loadedWith = async (env: Record<string, string>) => {
      const { gateway, payments } = await startBoth({ NODE_OPTIONS, ...env });
      await Promise.all([gateway.stop(), payments.stop()]);
      return [gateway, payments].map(({ lines }) =>
        Number(lines.find((line) => line.startsWith('loaded: '))?.slice(8)),
      );
    };

    expect(await loadedWith({})).toEqual([0, 0]);
    expect(Math.min(...(await loadedWith({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })))).toBeGreaterThan(
      10,
    );
  });
});
