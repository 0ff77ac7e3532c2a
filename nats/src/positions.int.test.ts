import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { headers } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { readBacklog, readPaymentPosition } from './positions.ts';
import { provision } from './provision.ts';
import { createSetAside } from './set-aside.ts';
import { createSubscription } from './subscription.ts';
import {
  log,
  publishEvents,
  startBroker,
  type TestBroker,
  takeAll,
  takeOne,
  timed,
  until,
  up,
} from './testing/fixture.ts';

let broker: TestBroker;
let connection: BrokerConnection;
beforeAll(async () => {
  broker = await startBroker();
  connection = broker.join('payment-service');
  await up(connection);
});
afterAll(() => broker.stop());
beforeEach(async () => {
  for (const { config } of await broker.manager.streams.list().next()) {
    await broker.manager.streams.delete(config.name);
  }
  await provision(broker.admin, { mode: 'create' });
});

describe('the position of the queue', () => {
  test('is that of an empty one at first', async () => {
    expect(await readPaymentPosition(connection)).toEqual({
      lastSequence: 0,
      messages: 0,
      oldestStoredAt: undefined,
      deliveredThrough: 0,
      askedAt: expect.any(Date),
    });
  });

  test('tells what is stored, from when, and how far it was handed out', async () => {
    await publishEvents(broker, 5);
    const subscription = createSubscription({ broker: connection, log, heldMax: 3 });
    await subscription.pullOnce();
    const first = await takeOne(subscription);

    expect(await readPaymentPosition(connection)).toEqual({
      lastSequence: 5,
      messages: 5,
      oldestStoredAt: first.storedAt,
      deliveredThrough: 3,
      askedAt: expect.any(Date),
    });
    await subscription.settle(first, { kind: 'ack' });
    const second = await takeOne(subscription);
    await until(async () => (await readPaymentPosition(connection)).messages === 4);
    expect(await readPaymentPosition(connection)).toMatchObject({ oldestStoredAt: second.storedAt });
    await subscription.stop();
  });

  test('tells the time by the clock by which messages are stored', async () => {
    const before = await readPaymentPosition(connection);
    await publishEvents(broker);
    const after = await readPaymentPosition(connection);

    const stored = after.oldestStoredAt?.getTime() ?? 0;
    expect(before.askedAt.getTime()).toBeLessThanOrEqual(stored);
    expect(after.askedAt.getTime()).toBeGreaterThanOrEqual(stored);
    expect(after.askedAt.getTime() - before.askedAt.getTime()).toBeLessThan(5_000);
  });

  test('keeps the last sequence when all is applied', async () => {
    await publishEvents(broker, 2);
    const subscription = createSubscription({ broker: connection, log, heldMax: 2 });
    await subscription.pullOnce();
    for (const delivery of await takeAll(subscription, 2))
      await subscription.settle(delivery, { kind: 'ack' });
    await until(async () => (await readPaymentPosition(connection)).messages === 0);

    expect(await readPaymentPosition(connection)).toEqual({
      lastSequence: 2,
      messages: 0,
      oldestStoredAt: undefined,
      deliveredThrough: 2,
      askedAt: expect.any(Date),
    });
    await subscription.stop();
  });
});

describe('what is left of the backlog', () => {
  test('is nothing at first', async () => {
    expect(await readBacklog(connection)).toEqual({
      messages: 0,
      oldestStoredAt: undefined,
      newestStoredAt: undefined,
    });
  });

  test('is told with the times of the first storing, also with holes at both ends', async () => {
    await publishEvents(broker, 5);
    const live = createSubscription({ broker: connection, log, heldMax: 5 });
    await live.pullOnce();
    const taken = await takeAll(live, 5);
    const times = taken.map(({ storedAt }) => storedAt);
    await createSetAside({ broker: connection }).setAside(taken);

    expect(await readBacklog(connection)).toEqual({
      messages: 5,
      oldestStoredAt: times[0],
      newestStoredAt: times[4],
    });
    const aside = createSubscription({ broker: connection, log, heldMax: 5, from: 'backlog' });
    await aside.pullOnce();
    const [first, , third, , last] = await takeAll(aside, 5);
    for (const delivery of [first, third, last]) {
      if (delivery !== undefined) await aside.settle(delivery, { kind: 'ack' });
    }
    await until(async () => (await readBacklog(connection)).messages === 2);
    expect(await readBacklog(connection)).toEqual({
      messages: 2,
      oldestStoredAt: times[1],
      newestStoredAt: times[3],
    });
    await Promise.all([live.stop(), aside.stop()]);
  });

  test("is told with the broker's own time for what was published there by hand", async () => {
    const before = Date.now();
    const hdrs = headers();
    hdrs.set('Paystream-Stored-At', 'yesterday');
    await broker.admin.jetstream().publish('backlog.payments.new', 'x', { headers: hdrs });

    const { messages, oldestStoredAt, newestStoredAt } = await readBacklog(connection);

    expect(messages).toBe(1);
    expect(newestStoredAt).toEqual(oldestStoredAt);
    expect(Math.abs((oldestStoredAt?.getTime() ?? 0) - before)).toBeLessThan(5_000);
  });
});

describe('while the broker does not answer', () => {
  test('for want of the stream, the question is refused in words', async () => {
    await broker.manager.streams.delete('payment');
    await broker.manager.streams.delete('payment-backlog');

    await expect(readPaymentPosition(connection)).rejects.toThrow(
      /does not say what is in payment: .*not found/,
    );
    await expect(readBacklog(connection)).rejects.toThrow(
      /does not say what is in payment-backlog: .*not found/,
    );
  });

  test('because it stands still, the question is refused in time', async () => {
    broker.server.pause();
    const { value, ms } = await timed(readBacklog(connection).catch(String));
    broker.server.resume();

    expect(value).toMatch(/does not say what is in payment-backlog/);
    expect(ms).toBeLessThan(3_000);
  });

  test('because it is gone, the question is refused at once, and answered when it is back', async () => {
    await broker.server.kill();
    await until(() => !connection.state().up);

    const { value, ms } = await timed(readPaymentPosition(connection).catch(String));
    expect(value).toMatch(/does not say what is in payment: the connection was lost/);
    expect(ms).toBeLessThan(100);

    await broker.startAgain();
    await up(connection);
    await until(() => readPaymentPosition(connection).catch(() => undefined));
  });
});
