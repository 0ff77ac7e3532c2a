import { describe, expect, test } from '@jest/globals';
import { quantile, type Service } from '@paystream/local';
import { eventually, get, post, webhook } from './harness.ts';
import {
  appliedBy,
  expectEachOnce,
  expectRhythm,
  getReplay,
  idsOf,
  linesOf,
  ownDatabase,
  putReplay,
  sendPaced,
  untilApplied,
  useReplaySystem,
} from './replay-harness.ts';

const { system, gateway, start } = useReplaySystem();

const untilPassing = (services: readonly Service[]) =>
  eventually(() => linesOf(services, 'backlog.set-aside'), { until: ({ length }) => length === 1 });

describe('during a replay of 30 s', () => {
  test('live payments are applied at once by two services, and find their places among older events', async () => {
    const sent = await sendPaced(gateway(), { count: 150, gapMs: 50 });
    const lastOfBacklog = sent.at(-1)?.txId ?? '';
    const env = { MONGO_URI: ownDatabase(system()), REPLAY_SPEED: '0.25' };
    const services = [await start(env), await start(env)];
    await untilPassing(services);
    // The other one set it aside, maybe, while this one was still starting.
    await Promise.all(services.map((service) => service.ready()));
    const [reader] = services as [Service];
    const read = async () => (await get(reader, `/transactions/${lastOfBacklog}`)).body;

    await post(gateway(), webhook({ txId: lastOfBacklog, action: 'UPDATE', amount: 777, note: 'live' }));
    await eventually(read, { until: ({ status }) => status === 'updated' });
    expect(await read()).toMatchObject({ hasNew: false, amount: 777, note: 'live' });
    const live = await sendPaced(gateway(), { count: 480, gapMs: 50 });

    const appliedAtOf = new Map(
      (await untilApplied(services, idsOf(live))).map(({ txId, appliedAt }) => [txId, appliedAt]),
    );
    const waits = live.map(({ txId, answeredAt }) => (appliedAtOf.get(txId) ?? Number.NaN) - answeredAt);
    expect(appliedAtOf.size).toBe(480);
    expect(quantile(waits, 0.99)).toBeLessThan(100);
    const backlog = await untilApplied(services, idsOf(sent).slice(0, -1), 40_000);
    expectEachOnce(backlog, 149);
    expectRhythm(backlog, { speed: 0.25 });
    const lastAt = backlog.at(-1)?.appliedAt ?? 0;
    expect(live.filter(({ answeredAt }) => answeredAt < lastAt).length).toBeGreaterThan(400);
    await eventually(read, { until: ({ hasNew }) => hasNew });
    expect(await read()).toMatchObject({ status: 'updated', amount: 777, note: 'live' });
    expect((await read()).actionHistory.map(({ action }: { action: string }) => action)).toEqual([
      'NEW',
      'UPDATE',
    ]);
  });
});

describe('while an operator changes a replay', () => {
  test('it stands, live payments pass, and it goes on four times as fast', async () => {
    const sent = await sendPaced(gateway(), { count: 120, gapMs: 25 });
    const ids = idsOf(sent);
    const payments = await start();
    await untilApplied([payments], ids.slice(0, 30));

    const paused = await putReplay(payments, { paused: 'replay' });
    expect(paused).toMatchObject({ status: 200, body: { state: 'paused', paused: 'replay', doneAt: null } });
    const look = async () => {
      const { backlog } = await getReplay(payments);
      return { backlog, applied: appliedBy(payments).filter(({ txId }) => ids.includes(txId)).length };
    };
    // What was being applied at that moment is applied.
    const before = await eventually(look, { until: ({ backlog, applied }) => backlog + applied === 120 });
    const live = await sendPaced(gateway(), { count: 20, gapMs: 50 });
    await untilApplied([payments], idsOf(live));
    expect(await look()).toEqual(before);
    const faster = await putReplay(payments, { paused: 'none', speed: 4 });
    expect(faster.body).toMatchObject({ paused: 'none', speed: 4, state: 'replaying' });

    const applied = await untilApplied([payments], ids);
    expectEachOnce(applied, 120);
    expectRhythm(applied.slice(before.applied), { speed: 4 });
    expectRhythm(applied.slice(0, before.applied));
  });
});
