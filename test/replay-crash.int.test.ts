import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { JetStreamManager, NatsConnection } from 'nats';
import { eventually, get } from './harness.ts';
import { getReplay, linesOf, ownDatabase, putReplay, useReplaySystem } from './replay-harness.ts';

const { system, start } = useReplaySystem();

let nats: NatsConnection;
let manager: JetStreamManager;
beforeAll(async () => {
  nats = await system().nats();
  manager = await nats.jetstreamManager();
});

const messagesIn = async (stream: string) => (await manager.streams.info(stream)).state.messages;

/** Published by hand, since a gateway would take longer for so many than the outage that is tested. */
async function publishMany(count: number): Promise<string[]> {
  const txIds = Array.from({ length: count }, () => randomUUID());
  const stream = nats.jetstream();
  for (let from = 0; from < count; from += 200) {
    await Promise.all(
      txIds
        .slice(from, from + 200)
        .map((txId) => stream.publish('payments.new', JSON.stringify({ txId, action: 'NEW', amount: 100 }))),
    );
  }
  return txIds;
}

describe('a service that is killed while it sets a backlog aside', () => {
  test('leaves nothing behind and applies nothing twice, and what cannot be read becomes a dead letter at its turn', async () => {
    const env = { MONGO_URI: ownDatabase(system()), REPLAY_SPEED: '1000' };
    const ready = await start(env);
    await ready.ready();
    expect((await putReplay(ready, { paused: 'replay' })).status).toBe(200);
    await ready.stop();
    const txIds = await publishMany(3_000);
    await nats.jetstream().publish('payments.new', 'not JSON');

    for (let kills = 0; kills < 2; kills += 1) {
      const service = await start(env);
      const before = await messagesIn('payment-backlog');
      // Longer than the ack wait, which is due when the killed one had all of them in hand.
      await eventually(() => messagesIn('payment-backlog'), {
        ...{ within: 40_000, every: 10 },
        until: (count) => count > before,
      });
      await service.kill();
    }
    expect(await messagesIn('payment')).toBeGreaterThan(0);
    const last = await start(env);
    // What the killed ones had in hand comes again after the ack wait.
    await eventually(() => messagesIn('payment'), { within: 60_000, until: (count) => count === 0 });
    expect(await getReplay(last)).toMatchObject({ state: 'paused', paused: 'replay' });
    expect((await putReplay(last, { paused: 'none' })).status).toBe(200);
    await eventually(() => messagesIn('payment-backlog'), { within: 30_000, until: (count) => count === 0 });

    const histories = await Promise.all(txIds.map((txId) => get(last, `/transactions/${txId}`)));
    expect(new Set(histories.map(({ status, body }) => `${status} ${body.actionHistory?.length}`))).toEqual(
      new Set(['200 1']),
    );
    expect(await messagesIn('payment-dead-letters')).toBe(1);
    const [dead] = linesOf([last], 'message.settled').filter(({ outcome }) => outcome === 'unreadable');
    expect(dead).toMatchObject({ reason: 'not-json', storedAt: expect.any(String) });
    // The ack wait alone is half a minute.
  }, 120_000);
});
