import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { startTcpProxy } from '../chaos/src/tcp-proxy.ts';
import { type OwnMongod, startOwnMongod } from '../payment-service/src/testing/fixture.ts';
import { eventually, get } from './harness.ts';
import {
  expectEachOnce,
  expectRhythm,
  getReplay,
  idsOf,
  linesOf,
  ownDatabase,
  putReplay,
  type Sent,
  sendPaced,
  untilApplied,
  useReplaySystem,
} from './replay-harness.ts';

const { system, gateway, start } = useReplaySystem();

const expectReplayed = async (services: readonly Service[], sent: readonly Sent[]) => {
  const applied = await untilApplied(services, idsOf(sent));
  expectEachOnce(applied, sent.length);
  expectRhythm(applied);
};

describe('what piled up is replayed as it came', () => {
  test('when the service was down', async () => {
    const sent = await sendPaced(gateway(), { count: 300, gapMs: 20 });

    const payments = await start();

    await expectReplayed([payments], sent);
    const [began] = linesOf([payments], 'replay.began');
    expect(began).toMatchObject({ level: 30, speed: 1, faster: expect.stringContaining('curl -X PUT') });
    // The first ones may be applied before it is said.
    expect(began.left).toBeGreaterThan(200);
    await eventually(() => linesOf([payments], 'replay.finished'), { until: ({ length }) => length === 1 });
    expect(linesOf([payments], 'replay.finished')).toMatchObject([{ done: expect.any(Number) }]);
    expect(await getReplay(payments)).toMatchObject({ state: 'live', backlog: 0, lagMs: 0, doneAt: null });
  });

  test('four times as fast at speed 4', async () => {
    const sent = await sendPaced(gateway(), { count: 160, gapMs: 25 });

    const payments = await start({ REPLAY_SPEED: '4' });

    const applied = await untilApplied([payments], idsOf(sent));
    expectEachOnce(applied, 160);
    expectRhythm(applied, { speed: 4 });
  });

  test('when the database was killed while the service was up, and again the second time', async () => {
    const mongod = await startOwnMongod();
    try {
      const payments = await start({ MONGO_URI: mongod.uri });
      await payments.ready();
      for (const count of [120, 60]) {
        await mongod.kill();
        const sent = await sendPaced(gateway(), { count, gapMs: 25 });
        await mongod.startAgain();

        await expectReplayed([payments], sent);
      }
      await payments.stop();
    } finally {
      await mongod.close();
    }
  });

  test('when the broker was killed with a backlog', async () => {
    const sent = await sendPaced(gateway(), { count: 120, gapMs: 25 });
    await system().restartBroker('SIGKILL');

    const payments = await start();

    await expectReplayed([payments], sent);
  });

  test('when an operator paused everything and the broker was killed meanwhile', async () => {
    const payments = await start();
    await payments.ready();
    expect((await putReplay(payments, { paused: 'all' })).body).toMatchObject({ state: 'paused' });
    const sent = await sendPaced(gateway(), { count: 120, gapMs: 25 });
    await system().restartBroker('SIGKILL');
    await eventually(() => get(payments, '/readyz'), { until: ({ status }) => status === 200 });

    expect(await untilApplied([payments], [])).toEqual([]);
    await putReplay(payments, { paused: 'none' });

    await expectReplayed([payments], sent);
    const seen = await eventually(() => getReplay(payments), { until: ({ state }) => state === 'live' });
    expect(seen).toMatchObject({ paused: 'none', changedBy: 'tester', reason: 'a test' });
  });

  // Shorter than a minute: what is longer than the client needs to notice it, and than REPLAY_LIVE_WITHIN, takes the
  // same way; and what is held longer than the ack wait is tested in nats/src/holding.int.test.ts.
  test('when the service lost its connection to the broker', async () => {
    const proxy = await startTcpProxy(system().broker.port);
    try {
      const payments = await start({ NATS_URI: `nats://127.0.0.1:${proxy.port}` });
      await payments.ready();
      await proxy.cut();
      const sent = await sendPaced(gateway(), { count: 120, gapMs: 25 });
      await proxy.restore();

      await expectReplayed([payments], sent);
      await payments.stop();
    } finally {
      await proxy.close();
    }
  });
});

describe('a second outage in the middle of a replay', () => {
  let mongod: OwnMongod;
  beforeAll(async () => {
    mongod = await startOwnMongod();
  });
  afterAll(() => mongod.close());

  test('of the database: the schedule goes on where it stood, and nothing is handed out again', async () => {
    const sent = await sendPaced(gateway(), { count: 160, gapMs: 25 });
    const payments = await start({ MONGO_URI: mongod.uri });
    await untilApplied([payments], idsOf(sent).slice(0, 50));
    await mongod.kill();
    await eventually(() => linesOf([payments], 'replay.stands'), { until: ({ length }) => length > 0 });
    await mongod.startAgain();

    const applied = await untilApplied([payments], idsOf(sent));

    // Those that were being written when it died may have been written.
    const outcomes = applied.map(({ outcome, deliveries }) => `${outcome} ${deliveries}`);
    expect(outcomes.filter((one) => one === 'applied 1').length).toBeGreaterThanOrEqual(156);
    expect(outcomes.filter((one) => one.endsWith(' 1'))).toHaveLength(160);
    expectRhythm(applied, { interruptions: 5 });
    await payments.stop();
  });

  test('of the connection to the broker: the schedule goes on where it stood', async () => {
    const proxy = await startTcpProxy(system().broker.port);
    try {
      const sent = await sendPaced(gateway(), { count: 160, gapMs: 25 });
      const payments = await start({ NATS_URI: `nats://127.0.0.1:${proxy.port}` });
      await untilApplied([payments], idsOf(sent).slice(0, 50));
      await proxy.cut();
      await eventually(() => linesOf([payments], 'broker.away'), { until: ({ length }) => length > 0 });
      await proxy.restore();

      const applied = await untilApplied([payments], idsOf(sent));

      expectEachOnce(applied, 160);
      expectRhythm(applied, { interruptions: 2 });
      await payments.stop();
    } finally {
      await proxy.close();
    }
  });

  test('of the service, stopped and started: its look-ahead comes back at once and in order', async () => {
    const sent = await sendPaced(gateway(), { count: 160, gapMs: 25 });
    const database = { MONGO_URI: ownDatabase(system()) };
    const first = await start(database);
    await untilApplied([first], idsOf(sent).slice(0, 50));
    await first.stop();

    const second = await start(database);

    const applied = await untilApplied([first, second], idsOf(sent));
    expect(new Set(applied.map(({ txId }) => txId)).size).toBe(160);
    expect(applied).toHaveLength(160);
    expect(new Set(applied.map(({ outcome }) => outcome))).toEqual(new Set(['applied']));
    expectRhythm(applied, { interruptions: 1 });
  });
});
