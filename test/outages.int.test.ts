import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { headers, type JetStreamManager, type NatsConnection } from 'nats';
import { type OwnMongod, startOwnMongod } from '../payment-service/src/testing/fixture.ts';
import { eventually, get, post, type System, startSystem, webhook } from './harness.ts';

let system: System;
let nats: NatsConnection;
let manager: JetStreamManager;
const running: Service[] = [];

beforeAll(async () => {
  system = await startSystem();
  nats = await system.nats();
  manager = await nats.jetstreamManager();
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
/** As if it had been set aside: first stored at that time. */
async function putInBacklog(sequence: number, storedAt: Date): Promise<string> {
  const body = webhook();
  const origin = headers();
  origin.set('Paystream-Stored-At', storedAt.toISOString());
  origin.set('Paystream-Sequence', String(sequence));
  await nats.jetstream().publish('backlog.payments.new', JSON.stringify(body), { headers: origin });
  return body.txId;
}
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

  test('a replay stands still within a second too, before anything was tried in vain', async () => {
    const { payments } = await startBoth({ MONGO_URI: mongod.uri, REPLAY_MAX_GAP: '10m' });
    // The second one is due in five minutes: until then no call to the database fails.
    await putInBacklog(1_000_001, new Date(Date.now() - 600_000));
    await putInBacklog(1_000_002, new Date(Date.now() - 300_000));
    await eventually(() => linesOf(payments), {
      until: (lines) => lines.some(({ outcome }) => outcome === 'applied'),
    });

    const goneAt = Date.now();
    await mongod.kill();
    const told = await eventually(() => linesOf(payments, goneAt), {
      until: (lines) => lines.some(({ msg }) => msg === 'replay.stands'),
    });
    const { num_ack_pending: inHand, num_redelivered: again } = await manager.consumers.info(
      'payment-backlog',
      'payment-backlog-consumer',
    );
    await mongod.startAgain();

    const stands = told.find(({ msg }) => msg === 'replay.stands');
    expect(stands).toMatchObject({ held: 1, cause: 'the connection says so' });
    expect(Date.parse(stands?.time ?? '') - goneAt).toBeLessThan(1_000);
    expect([inHand, again]).toEqual([1, 0]);
    await eventually(() => readiness(payments), { until: (answer) => answer?.status === 200 });
    await manager.streams.purge('payment-backlog');
  });
});

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

describe('under running services', () => {
  let gateway: Service;
  let payments: Service;
  beforeAll(async () => {
    [gateway, payments] = await Promise.all([system.startGateway(), system.startPayments()]);
    await Promise.all([gateway.ready(), payments.ready()]);
  });
  afterAll(() => Promise.all([gateway.stop(), payments.stop()]));

  const postUntilTaken = async () => {
    const body = webhook();
    await eventually(() => post(gateway, body), { within: 12_000, until: ({ status }) => status === 200 });
    return body.txId;
  };
  let asideCount = 2_000_000;
  const putAside = async () => {
    asideCount += 1;
    return putInBacklog(asideCount, new Date());
  };
  const untilApplied = (txId: string) =>
    eventually(() => get(payments, `/transactions/${txId}`), {
      within: 12_000,
      until: ({ status }) => status === 200,
    });

  test.each([
    {
      what: 'the consumer',
      resource: 'consumer payment payment-consumer',
      remove: () => manager.consumers.delete('payment', 'payment-consumer'),
      look: () => manager.consumers.info('payment', 'payment-consumer'),
      lost: 'nothing',
      works: postUntilTaken,
    },
    {
      what: 'the stream',
      resource: 'stream payment',
      remove: () => manager.streams.delete('payment'),
      look: () => manager.streams.info('payment'),
      lost: 'what the stream held is gone',
      works: postUntilTaken,
    },
    {
      what: 'the consumer of the backlog',
      resource: 'consumer payment-backlog payment-backlog-consumer',
      remove: () => manager.consumers.delete('payment-backlog', 'payment-backlog-consumer'),
      look: () => manager.consumers.info('payment-backlog', 'payment-backlog-consumer'),
      lost: 'nothing',
      works: putAside,
      // It waits in the stream, and is replayed when there is a consumer again.
      meanwhile: putAside,
    },
    {
      what: 'the stream of the backlog',
      resource: 'stream payment-backlog',
      remove: () => manager.streams.delete('payment-backlog'),
      look: () => manager.streams.info('payment-backlog'),
      lost: 'what the stream held is gone',
      works: putAside,
      meanwhile: postUntilTaken,
    },
    {
      what: 'the stream of dead letters',
      resource: 'stream payment-dead-letters',
      remove: () => manager.streams.delete('payment-dead-letters'),
      look: () => manager.streams.info('payment-dead-letters'),
      lost: 'what the stream held is gone',
      works: postUntilTaken,
      meanwhile: postUntilTaken,
    },
  ])(
    '$what that is deleted is seen, told, and made anew where the services provision',
    async ({ resource, remove, look, lost, works, meanwhile = async () => undefined }) => {
      const since = Date.now();

      await remove();
      const { parts, afterMs } = await untilRed(payments);
      const sentMeanwhile = await meanwhile();
      await eventually(() => exists(look()), { within: 12_000, until: (there) => there });
      const sentAfter = await works();

      expect(afterMs).toBeLessThan(10_000);
      expect(parts.broker.ok && parts.consumer.ok).toBe(false);
      for (const txId of [sentMeanwhile, sentAfter]) if (txId !== undefined) await untilApplied(txId);
      const told = [...errors(payments, since), ...errors(gateway, since)];
      expect(told).toEqual(
        expect.arrayContaining([expect.objectContaining({ msg: 'broker.finding', resource })]),
      );
      const anew = told.find(
        ({ msg, done }) => msg === 'broker.made-anew' && done === `${resource}: created`,
      );
      expect(anew?.lost).toContain(lost);
      await eventually(() => readiness(payments), { within: 12_000, until: (seen) => seen?.status === 200 });
    },
  );

  test('a dead letter whose stream was deleted waits where it is, and is kept when there is one again', async () => {
    await manager.streams.delete('payment-dead-letters');
    await nats.jetstream().publish('payments.new', 'not JSON');
    await eventually(() => readiness(payments), {
      within: 12_000,
      until: (answer) => answer?.body.parts.deadLetters.ok === false,
    });
    const waiting = (await manager.streams.info('payment')).state.messages;
    const kept = await eventually(
      () =>
        manager.streams.info('payment-dead-letters').then(
          ({ state }) => state.messages,
          () => 0,
        ),
      { within: 30_000, until: (messages) => messages > 0 },
    );

    expect([waiting, kept]).toEqual([1, 1]);
    await eventually(() => manager.streams.info('payment'), { until: ({ state }) => state.messages === 0 });
    await eventually(() => readiness(payments), { within: 12_000, until: (seen) => seen?.status === 200 });
  });
});

test('what is deleted is only told where another user provisions', async () => {
  const making = await startBoth();
  await Promise.all([making.gateway.stop(), making.payments.stop()]);
  const told = await startBoth({ PROVISION: 'false' });
  const since = Date.now();
  const resources = ['stream payment', 'stream payment-backlog', 'stream payment-dead-letters'];
  const consumers = [
    'consumer payment payment-consumer',
    'consumer payment-backlog payment-backlog-consumer',
  ];

  for (const stream of ['payment', 'payment-backlog', 'payment-dead-letters'])
    await manager.streams.delete(stream);
  const [ofGateway, ofPayments] = await Promise.all([untilRed(told.gateway), untilRed(told.payments)]);
  await eventually(() => errors(told.payments, since).map(({ resource }) => resource), {
    until: (seen) => [...resources, ...consumers].every((resource) => seen.includes(resource)),
  });
  // Long enough for two looks.
  await eventually(() => Date.now() - since, { within: 20_000, until: (ms) => ms > 11_000 });

  expect(Math.max(ofGateway.afterMs, ofPayments.afterMs)).toBeLessThan(10_000);
  for (const stream of ['payment', 'payment-backlog', 'payment-dead-letters'])
    expect(await exists(manager.streams.info(stream))).toBe(false);
  expect((await post(told.gateway, webhook())).status).toBe(503);
  expect(errors(told.payments, since).filter(({ msg }) => msg === 'broker.made-anew')).toEqual([]);
});
