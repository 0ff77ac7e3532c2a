import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort, resolveServers, type Service, startNatsServer } from '@paystream/local';
import { isRefused, openRaw, parseAnswer, type RawConnection } from '../../runtime/src/testing/raw-http.ts';
import {
  eventually,
  get,
  post,
  type System,
  startSystem,
  throwAwayFolder,
  webhook,
} from '../../test/harness.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.close());

const says = (service: Service, words: string) =>
  eventually(() => service.lines.some((line) => line.includes(words)), { until: (said) => said });

const listening = async (service: Service) => {
  await says(service, 'service.listening');
  return Number(new URL(service.url ?? '').port);
};

const postHead = (body: string) =>
  'POST /webhooks/x-payment HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n' +
  `expect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`;

describe('the gateway as a process', () => {
  test('started before the broker is alive, answers 503, and works when the broker comes', async () => {
    const folder = throwAwayFolder('late-broker');
    const port = await freePort();
    const gateway = await system.startGateway({ NATS_URI: `nats://127.0.0.1:${port}` });
    await listening(gateway);

    expect((await get(gateway, '/healthz')).status).toBe(200);
    const unready = await get(gateway, '/readyz');
    expect([unready.status, unready.body.parts.broker.ok]).toEqual([503, false]);
    const refused = await post(gateway, webhook());
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    expect(refused.ms).toBeLessThan(1_000);

    const broker = await startNatsServer({
      binary: resolveServers().natsServer,
      storeDir: folder.path,
      port,
    });
    const startedAt = performance.now();
    const taken = await eventually(() => post(gateway, webhook()), { until: ({ status }) => status === 200 });

    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(taken.body).toMatchObject({ duplicate: false, sequence: 1 });
    await gateway.ready();
    await gateway.stop();
    await broker.stop();
    folder.remove();
  });

  test('tells in /readyz that it is able, and nothing about versions or addresses', async () => {
    const gateway = await system.startGateway();
    await gateway.ready();

    const { body } = await get(gateway, '/readyz');

    expect(body).toEqual({
      status: 'ready',
      parts: { broker: { ok: true, detail: 'connected, and set as it must be' } },
      durability: { broker: expect.stringContaining('synced to disk'), replicas: '1' },
    });
    await gateway.stop();
  });

  test('answers on SIGTERM all that is in hand, holds on for no idle connection, and exits 0', async () => {
    const gateway = await system.startGateway();
    await gateway.ready();
    const port = await listening(gateway);
    const idle = [openRaw(port), await keptAlive(port)];
    const asking = openRaw(port);
    asking.write('GET /readyz HTTP/1.1\r\nhost: gateway\r\n');
    system.broker.pause();
    const inHand = await Promise.all(Array.from({ length: 20 }, () => begin(port)));
    for (const { connection, body } of inHand.slice(1)) connection.write(body);

    const stoppedAt = performance.now();
    const exit = gateway.stop('SIGTERM');
    await says(gateway, 'service.stopping');
    asking.write('\r\n');
    inHand[0]?.connection.write(inHand[0].body);
    const readiness = parseAnswer(await asking.closed);
    await eventually(() => isRefused(port), { until: (refused) => refused });
    system.broker.resume();

    const answers = await Promise.all(
      inHand.map(async ({ connection }) => parseAnswer(await connection.closed)),
    );
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(performance.now() - stoppedAt).toBeLessThan(5_000);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(answers.map(({ headers }) => headers.get('connection'))).toEqual(answers.map(() => 'close'));
    expect(readiness.json).toMatchObject({ status: 'not-ready', parts: { service: { ok: false } } });
    for (const connection of idle) connection.cut();
  });

  test('names all wrong settings at once and exits 1', async () => {
    const gateway = await system.startGateway({
      PORT: 'abc',
      NATS_URI: '',
      PROVISION: 'yes',
      DUPLICATE_WINDOW: '10',
    });

    expect(await gateway.exited).toEqual({ code: 1, signal: null });
    expect(gateway.lines).toEqual([
      'third-party-gateway: PORT: must be a whole number from 0 to 65535',
      'third-party-gateway: NATS_URI: is needed, for example nats://127.0.0.1:4222',
      'third-party-gateway: PROVISION: must be true or false',
      expect.stringContaining('third-party-gateway: DUPLICATE_WINDOW: must be a length of time'),
    ]);
  });

  test('says that its port is taken and exits 1', async () => {
    const first = await system.startGateway();
    const port = await listening(first);

    const second = await system.startGateway({ PORT: String(port) });

    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.lines.some((line) => line.includes('service.failed') && line.includes('EADDRINUSE'))).toBe(
      true,
    );
    expect(second.lines.some((line) => line.includes('ReferenceError'))).toBe(false);
    await first.stop();
  });
});

/** A connection that has had an answer and stays open. */
async function keptAlive(port: number): Promise<RawConnection> {
  const connection = openRaw(port);
  connection.write('GET / HTTP/1.1\r\nhost: gateway\r\n\r\n');
  await eventually(connection.received, { until: (text) => text.endsWith('OK') });
  return connection;
}

/** A webhook of which the gateway has read the headers: its `100 Continue` says so. */
async function begin(port: number): Promise<{ connection: RawConnection; body: string }> {
  const connection = openRaw(port);
  const body = JSON.stringify(webhook());
  connection.write(postHead(body));
  await eventually(connection.received, { until: (text) => text.includes('100 Continue') });
  return { connection, body };
}
