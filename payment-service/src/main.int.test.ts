import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort, resolveServers, type Service, startNatsServer } from '@paystream/local';
import { encodeEvent, type PaymentEvent } from '@paystream/nats';
import mongoose from 'mongoose';
import type { NatsConnection } from 'nats';
import { eventually, get, type System, startSystem, throwAwayFolder } from '../../test/harness.ts';
import { sentEvent } from './testing/consuming.ts';
import { type OwnMongod, openStore, startOwnMongod } from './testing/fixture.ts';

let system: System;
let nats: NatsConnection;
const closing: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  system = await startSystem();
  nats = await system.nats();
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => system.close());

async function publish(events: readonly PaymentEvent[]): Promise<void> {
  const client = nats.jetstream();
  for (let start = 0; start < events.length; start += 500) {
    await Promise.all(
      events.slice(start, start + 500).map((event) => {
        const { subject, data } = encodeEvent(event);
        return client.publish(subject, data);
      }),
    );
  }
}
const left = async () => (await (await nats.jetstreamManager()).streams.info('payment')).state.messages;
const untilEmpty = () => eventually(left, { within: 30_000, until: (messages) => messages === 0 });
const logged = ({ lines }: Service, message: string) =>
  lines.filter((line) => line.includes(`"msg":"${message}"`));

async function stopWithin(service: Service, ms: number): Promise<void> {
  const startedAt = performance.now();
  expect(await service.stop()).toEqual({ code: 0, signal: null });
  expect(performance.now() - startedAt).toBeLessThan(ms);
}

describe('the service', () => {
  test('starts before the broker and the database, names both, and works when they come', async () => {
    const [natsPort, mongoPort] = [await freePort(), await freePort()];
    const service = await system.startPayments({
      NATS_URI: `nats://127.0.0.1:${natsPort}`,
      MONGO_URI: `mongodb://127.0.0.1:${mongoPort}/early?replicaSet=rs0`,
    });

    const early = await eventually(() => get(service, '/readyz').catch(() => undefined), {
      until: (answer) => answer?.status === 503,
    });
    expect(early?.body.parts).toMatchObject({
      broker: { ok: false },
      database: { ok: false },
      consumer: { ok: false },
    });
    expect((await get(service, '/healthz')).status).toBe(200);
    expect((await get(service, `/transactions/${randomUUID()}`)).status).toBe(503);

    const mongod = await startOwnMongod({ port: mongoPort });
    closing.push(mongod.close);
    const folder = throwAwayFolder('late-broker');
    closing.push(folder.remove);
    const broker = await startNatsServer({
      binary: resolveServers().natsServer,
      storeDir: folder.path,
      port: natsPort,
    });
    closing.push(() => broker.stop());
    await service.ready();

    expect((await get(service, `/transactions/${randomUUID()}`)).status).toBe(404);
    expect(logged(service, 'database.away').length).toBeLessThanOrEqual(1);
    await stopWithin(service, 3_000);
  });

  test('stops in time with neither of them there', async () => {
    const service = await system.startPayments({
      NATS_URI: `nats://127.0.0.1:${await freePort()}`,
      MONGO_URI: `mongodb://127.0.0.1:${await freePort()}/x?replicaSet=rs0`,
    });
    await eventually(() => logged(service, 'database.away').length, { until: (count) => count > 0 });

    await stopWithin(service, 5_000);
  });

  test('leaves in time in the middle of a backlog, and the next one ends it: nothing lost, nothing doubled', async () => {
    // At once, since how fast a backlog is applied is not what is tested.
    const first = await system.startPayments({ REPLAY_MODE: 'instant' });
    await first.ready();
    // No more than what is kept of a log.
    const events = Array.from({ length: 4_500 }, (_, index) =>
      sentEvent({ txId: `backlog:${index % 300}`, action: 'UPDATE', amount: index }),
    );

    const publishing = publish(events);
    await eventually(() => logged(first, 'message.settled').length, {
      every: 1,
      until: (count) => count > 0,
    });
    await stopWithin(first, 10_000);
    await publishing;
    const remaining = await left();
    // What it acknowledged on its last breath has left the stream: nothing is handed out a second time. Its last lines may
    // still have to be read.
    await eventually(() => logged(first, 'message.settled').length, {
      until: (settled) => settled === 4_500 - remaining,
    });
    expect(remaining).toBeGreaterThan(0);
    const second = await system.startPayments({ REPLAY_MODE: 'instant' });
    closing.push(() => second.stop());
    await second.ready();
    await untilEmpty();

    expect(logged(second, 'message.settled').filter((line) => line.includes('duplicate'))).toEqual([]);
    const store = await openStore(system.mongoUri);
    closing.push(store.close);
    const records = await store.readRecords([...new Set(events.map(({ txId }) => txId))]);
    const amounts = [...records.values()].flatMap(({ actionHistory }) =>
      actionHistory.map((entry) => entry.amount),
    );
    expect(amounts.toSorted((a, b) => a - b)).toEqual(events.map(({ amount }) => amount));
    await stopWithin(second, 5_000);
  });

  test('leaves in time while a batch is in hand that the database does not finish', async () => {
    const mongod: OwnMongod = await startOwnMongod();
    closing.push(mongod.close);
    const service = await system.startPayments({ MONGO_URI: mongod.uri, REPLAY_MODE: 'instant' });
    await service.ready();

    const direct = await mongoose.createConnection(mongod.uri).asPromise();
    closing.push(() => direct.close());
    // It answers as ever, and every write waits.
    await direct.db?.admin().command({ fsync: 1, lock: true });
    await publish([sentEvent({ txId: 'stands:still' })]);
    await eventually(
      async () =>
        (await (await nats.jetstreamManager()).consumers.info('payment', 'payment-consumer')).num_ack_pending,
      {
        until: (count) => count === 1,
      },
    );
    // What follows the setting waits there as well.
    const following = { currentOp: 1, 'command.findAndModify': 'settings' };
    await eventually(async () => (await direct.db?.admin().command(following))?.inprog.length, {
      until: (writes) => writes > 0,
    });
    await stopWithin(service, 8_000);

    expect(await left()).toBe(1);
    const next = await system.startPayments({ REPLAY_MODE: 'instant' });
    await untilEmpty();
    expect((await get(next, '/transactions/stands:still')).body.actionHistory).toHaveLength(1);
    await next.stop();
  });
});

describe('a service that cannot run', () => {
  test('names every wrong setting, one line each, and exits 1', async () => {
    const service = await system.startPayments({
      ...{ PORT: '70000', MONGO_URI: 'postgres://x', PROVISION: 'yes', LOG_LEVEL: 'loud' },
      ...{ DUPLICATE_WINDOW: '10', STREAM_REPLICAS: '2', NATS_URI: '' },
    });

    expect(await service.exited).toEqual({ code: 1, signal: null });
    const wrong = service.lines.map((line) => /^payment-service: (\w+): .+/.exec(line)?.[1]);
    expect(wrong.toSorted()).toEqual(
      [
        'DUPLICATE_WINDOW',
        'LOG_LEVEL',
        'MONGO_URI',
        'NATS_URI',
        'PORT',
        'PROVISION',
        'STREAM_REPLICAS',
      ].toSorted(),
    );
  });

  test('says so when the address of the database cannot be understood, without its password', async () => {
    const service = await system.startPayments({ MONGO_URI: 'mongodb://user:secret@127.0.0.1:port/x' });

    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.lines).toEqual([expect.stringMatching(/^payment-service: MONGO_URI: /)]);
    expect(service.lines.join()).not.toContain('secret');
  });

  test('exits 1 when its port is taken, and says which', async () => {
    const port = String(system.broker.port);
    const service = await system.startPayments({ PORT: port });

    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.lines.filter((line) => line.includes('EADDRINUSE')).join()).toContain(port);
  });
});
