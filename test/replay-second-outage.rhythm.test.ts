import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startTcpProxy } from '../chaos/src/tcp-proxy.ts';
import { type OwnMongod, startOwnMongod } from '../payment-service/src/testing/fixture.ts';
import { eventually } from './harness.ts';
import {
  expectEachOnce,
  expectRhythm,
  idsOf,
  linesOf,
  ownDatabase,
  sendPaced,
  untilApplied,
  useReplaySystem,
} from './replay-harness.ts';

const { system, gateway, start } = useReplaySystem();

describe('a second outage in the middle of a replay', () => {
  let mongod: OwnMongod;
  beforeAll(async () => {
    mongod = await startOwnMongod();
  });
  afterAll(() => mongod.close());

  test('of the database: the schedule goes on where it stood, and nothing is handed out again', async () => {
    const sent = await sendPaced(gateway(), { count: 100, gapMs: 25 });
    const payments = await start({ MONGO_URI: mongod.uri });
    await untilApplied([payments], idsOf(sent).slice(0, 30));
    await mongod.kill();
    await eventually(() => linesOf([payments], 'replay.stands'), { until: ({ length }) => length > 0 });
    await mongod.startAgain();

    const applied = await untilApplied([payments], idsOf(sent));

    // Those that were being written when it died may have been written.
    const outcomes = applied.map(({ outcome, deliveries }) => `${outcome} ${deliveries}`);
    expect(outcomes.filter((one) => one === 'applied 1').length).toBeGreaterThanOrEqual(96);
    expect(outcomes.filter((one) => one.endsWith(' 1'))).toHaveLength(100);
    expectRhythm(applied, { interruptions: 5 });
    await payments.stop();
  });

  test('of the connection to the broker: the schedule goes on where it stood', async () => {
    const proxy = await startTcpProxy(system().broker.port);
    try {
      const sent = await sendPaced(gateway(), { count: 100, gapMs: 25 });
      const payments = await start({ NATS_URI: `nats://127.0.0.1:${proxy.port}` });
      await untilApplied([payments], idsOf(sent).slice(0, 30));
      await proxy.cut();
      await eventually(() => linesOf([payments], 'broker.away'), { until: ({ length }) => length > 0 });
      await proxy.restore();

      const applied = await untilApplied([payments], idsOf(sent));

      expectEachOnce(applied, 100);
      expectRhythm(applied, { interruptions: 2 });
      await payments.stop();
    } finally {
      await proxy.close();
    }
  });

  test('of the service, stopped and started: its look-ahead comes back at once and in order', async () => {
    const sent = await sendPaced(gateway(), { count: 100, gapMs: 25 });
    const database = { MONGO_URI: ownDatabase(system()) };
    const first = await start(database);
    await untilApplied([first], idsOf(sent).slice(0, 30));
    await first.stop();

    const second = await start(database);

    const applied = await untilApplied([first, second], idsOf(sent));
    expect(new Set(applied.map(({ txId }) => txId)).size).toBe(100);
    expect(applied).toHaveLength(100);
    expect(new Set(applied.map(({ outcome }) => outcome))).toEqual(new Set(['applied']));
    expectRhythm(applied, { interruptions: 1 });
  });
});
