import { describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { startTcpProxy } from '../chaos/src/tcp-proxy.ts';
import { startOwnMongod } from '../payment-service/src/testing/fixture.ts';
import { eventually, get } from './harness.ts';
import {
  expectEachOnce,
  expectRhythm,
  getReplay,
  idsOf,
  linesOf,
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
    const sent = await sendPaced(gateway(), { count: 200, gapMs: 20 });

    const payments = await start();

    await expectReplayed([payments], sent);
    const [began] = linesOf([payments], 'replay.began');
    expect(began).toMatchObject({ level: 30, speed: 1, faster: expect.stringContaining('curl -X PUT') });
    // The first ones may be applied before it is said.
    expect(began.left).toBeGreaterThan(130);
    await eventually(() => linesOf([payments], 'replay.finished'), { until: ({ length }) => length === 1 });
    expect(linesOf([payments], 'replay.finished')).toMatchObject([{ done: expect.any(Number) }]);
    expect(await getReplay(payments)).toMatchObject({ state: 'live', backlog: 0, lagMs: 0, doneAt: null });
  });

  test('four times as fast at speed 4', async () => {
    const sent = await sendPaced(gateway(), { count: 120, gapMs: 25 });

    const payments = await start({ REPLAY_SPEED: '4' });

    const applied = await untilApplied([payments], idsOf(sent));
    expectEachOnce(applied, 120);
    expectRhythm(applied, { speed: 4 });
  });

  test('when the database was killed while the service was up, and again the second time', async () => {
    const mongod = await startOwnMongod();
    try {
      const payments = await start({ MONGO_URI: mongod.uri });
      await payments.ready();
      for (const count of [80, 60]) {
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
    const sent = await sendPaced(gateway(), { count: 80, gapMs: 25 });
    await system().restartBroker('SIGKILL');

    const payments = await start();

    await expectReplayed([payments], sent);
  });

  test('when an operator paused everything and the broker was killed meanwhile', async () => {
    const payments = await start();
    await payments.ready();
    expect((await putReplay(payments, { paused: 'all' })).body).toMatchObject({ state: 'paused' });
    const sent = await sendPaced(gateway(), { count: 80, gapMs: 25 });
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
      const sent = await sendPaced(gateway(), { count: 80, gapMs: 25 });
      await proxy.restore();

      await expectReplayed([payments], sent);
      await payments.stop();
    } finally {
      await proxy.close();
    }
  });
});
