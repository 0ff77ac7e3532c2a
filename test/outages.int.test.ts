import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import type { JetStreamManager } from 'nats';
import { type OwnMongod, startOwnMongod } from '../payment-service/src/testing/fixture.ts';
import { eventually, get, post, type System, startSystem, webhook } from './harness.ts';

let system: System;
let manager: JetStreamManager;
const running: Service[] = [];

beforeAll(async () => {
  system = await startSystem();
  manager = await (await system.nats()).jetstreamManager();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.stop()));
});
afterAll(() => system.close());

async function startBoth(env: Record<string, string> = {}): Promise<{ gateway: Service; payments: Service }> {
  const [gateway, payments] = await Promise.all([system.startGateway(env), system.startPayments(env)]);
  running.push(gateway, payments);
  await Promise.all([gateway.ready(), payments.ready()]);
  return { gateway, payments };
}

type Line = Record<string, unknown> & { msg: string; time: string; level: number };
const linesOf = ({ lines }: Service, since = 0): Line[] =>
  lines.map((line) => JSON.parse(line) as Line).filter(({ time }) => new Date(time).getTime() >= since);
const readiness = (service: Service) => get(service, '/readyz').catch(() => undefined);

describe('while the database is away', () => {
  let mongod: OwnMongod;
  beforeAll(async () => {
    mongod = await startOwnMongod();
  });
  afterAll(() => mongod.close());

  test('pulling stops within a second, the log stays quiet, and it goes on within 5 s of the return', async () => {
    const { gateway, payments } = await startBoth({ MONGO_URI: mongod.uri, REPLAY_MODE: 'instant' });
    await post(gateway, webhook());
    await eventually(() => linesOf(payments), {
      until: (lines) => lines.some(({ outcome }) => outcome === 'applied'),
    });

    const goneAt = Date.now();
    await mongod.kill();
    const body = webhook();
    await post(gateway, body);
    const away = await eventually(() => linesOf(payments, goneAt), {
      until: (lines) => lines.some(({ detail }) => detail === 'the database is away'),
    });
    const red = await eventually(() => readiness(payments), { until: (answer) => answer?.status === 503 });
    // What comes now must stay where it is.
    await Promise.all(Array.from({ length: 20 }, () => post(gateway, webhook())));
    await eventually(() => Date.now() - goneAt, { within: 30_000, until: (ms) => ms > 15_000 });
    const inOutage = linesOf(payments, goneAt);
    const waiting = (await manager.streams.info('payment')).state.messages;
    await mongod.startAgain();
    const backAt = Date.now();
    await eventually(() => get(payments, `/transactions/${body.txId}`).catch(() => undefined), {
      until: (answer) => answer?.status === 200,
    });
    const returnedInMs = Date.now() - backAt;

    const stoppedAt = away.find(({ detail }) => detail === 'the database is away')?.time;
    expect(Date.parse(stoppedAt ?? '') - goneAt).toBeLessThan(1_000);
    expect(red?.body.parts).toMatchObject({ database: { ok: false }, consumer: { ok: false } });
    expect(waiting).toBe(21);
    expect(inOutage.map(({ msg }) => msg).slice(4)).toEqual([]);
    expect(returnedInMs).toBeLessThan(5_000);
  });
});

describe('under running services', () => {
  const untilRed = async (service: Service) => {
    const from = performance.now();
    const seen = await eventually(() => readiness(service), {
      within: 12_000,
      until: (answer) => answer?.status === 503,
    });
    return { parts: seen?.body.parts, afterMs: performance.now() - from };
  };
  const exists = (look: Promise<unknown>) =>
    look.then(
      () => true,
      () => false,
    );
  const errors = (service: Service, since: number) =>
    linesOf(service, since).filter(({ level }) => level === 50);

  test.each([
    {
      what: 'the consumer',
      remove: () => manager.consumers.delete('payment', 'payment-consumer'),
      look: () => manager.consumers.info('payment', 'payment-consumer'),
      lost: 'nothing',
    },
    {
      what: 'the stream',
      remove: () => manager.streams.delete('payment'),
      look: () => manager.streams.info('payment'),
      lost: 'what the stream held is gone',
    },
  ])(
    '$what that is deleted is seen, told, and made anew where the services provision',
    async ({ remove, look, lost }) => {
      const { gateway, payments } = await startBoth();
      const since = Date.now();

      await remove();
      const { parts, afterMs } = await untilRed(payments);
      await eventually(() => exists(look()), { within: 12_000, until: (there) => there });
      const answer = await eventually(() => post(gateway, webhook()), {
        within: 12_000,
        until: ({ status }) => status === 200,
      });
      await eventually(() => linesOf(payments, since), {
        within: 12_000,
        until: (lines) => lines.some(({ outcome }) => outcome === 'applied'),
      });

      expect(afterMs).toBeLessThan(10_000);
      expect(parts.broker.ok && parts.consumer.ok).toBe(false);
      expect(answer.status).toBe(200);
      const told = [...errors(payments, since), ...errors(gateway, since)];
      expect(told.map(({ msg }) => msg)).toEqual(
        expect.arrayContaining(['broker.finding', 'broker.made-anew']),
      );
      expect(told.find(({ msg }) => msg === 'broker.made-anew')?.lost).toContain(lost);
      await eventually(() => readiness(payments), { within: 12_000, until: (seen) => seen?.status === 200 });
    },
  );

  test('a consumer and a stream that are deleted are only told where another user provisions', async () => {
    const { gateway, payments } = await startBoth();
    await Promise.all([gateway.stop(), payments.stop()]);
    const told = await startBoth({ PROVISION: 'false' });
    const since = Date.now();

    await manager.streams.delete('payment');
    const [ofGateway, ofPayments] = await Promise.all([untilRed(told.gateway), untilRed(told.payments)]);
    await eventually(() => errors(told.payments, since), {
      until: (lines) => lines.some(({ resource }) => resource === 'consumer payment payment-consumer'),
    });
    // Long enough for two looks.
    await eventually(() => Date.now() - since, { within: 20_000, until: (ms) => ms > 11_000 });

    expect(Math.max(ofGateway.afterMs, ofPayments.afterMs)).toBeLessThan(10_000);
    expect(await exists(manager.streams.info('payment'))).toBe(false);
    expect((await post(told.gateway, webhook())).status).toBe(503);
    expect(errors(told.payments, since).filter(({ msg }) => msg === 'broker.made-anew')).toEqual([]);
  });
});
