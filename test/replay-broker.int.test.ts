import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { eventually, post, type System, startSystem, webhook } from './harness.ts';
import { getReplay, linesOf, putReplay, startReplaying } from './replay-harness.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.close());

const policy = async () => {
  const nats = await system.nats();
  const manager = await nats.jetstreamManager();
  const { config } = await manager.consumers.info('payment', 'payment-consumer');
  return config.replay_policy;
};

const applied = (service: Service) => linesOf([service], 'message.settled').length;

describe('with REPLAY_MODE=broker', () => {
  test("the consumer has JetStream's own policy, and nothing is set aside or can be changed", async () => {
    const first = await startReplaying(system, { REPLAY_MODE: 'broker' });
    await first.ready();
    expect(await policy()).toBe('original');
    await first.stop();
    const gateway = await system.startGateway({ REPLAY_MODE: 'broker' });
    await gateway.ready();
    for (let count = 0; count < 10; count += 1) expect((await post(gateway, webhook())).status).toBe(200);

    const second = await startReplaying(system, { REPLAY_MODE: 'broker', REPLAY_LIVE_WITHIN: '1ms' });

    await eventually(() => applied(second), { until: (count) => count === 10 });
    expect(linesOf([second], 'backlog.found')).toEqual([]);
    expect(linesOf([second], 'backlog.set-aside')).toEqual([]);
    expect(await getReplay(second)).toMatchObject({ mode: 'broker', state: 'live', backlog: 0 });
    expect(await putReplay(second, { speed: 4 })).toMatchObject({ status: 400 });
    await second.stop();
  });

  test('a consumer that is there with the other policy is run as it is, with the command that changes it', async () => {
    const service = await startReplaying(system);

    const [found] = await eventually(() => linesOf([service], 'broker.finding'), {
      until: ({ length }) => length > 0,
    });
    expect(found).toMatchObject({
      level: 40,
      resource: 'consumer payment payment-consumer',
      problem: expect.stringContaining('is original, should be instant'),
      mend: expect.stringContaining('npm run provision -- --apply'),
    });
    await service.ready();
    expect(await policy()).toBe('original');
    await service.stop();
  });
});
