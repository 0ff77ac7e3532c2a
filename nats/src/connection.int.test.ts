import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type BrokerState, connectBroker } from './connection.ts';
import { encodeEvent } from './messages.ts';
import { provision } from './provision.ts';
import { createSubscription } from './subscription.ts';
import { eventOf, log, startBroker, type TestBroker, timed, until, up } from './testing/fixture.ts';
import { startOldServer } from './testing/old-server.ts';

let broker: TestBroker;
beforeEach(async () => {
  broker = await startBroker();
});
afterEach(() => broker.stop());

describe('closing', () => {
  test('sends every acknowledgement first: nothing that was acknowledged comes again', async () => {
    await provision(broker.admin, { mode: 'create' });
    const js = broker.admin.jetstream();
    const { subject, data } = encodeEvent(eventOf());
    await Promise.all(Array.from({ length: 1_000 }, () => js.publish(subject, data)));
    const connection = broker.join();
    const subscription = createSubscription({ broker: connection, log, heldMax: 1_000 });
    await subscription.pullOnce();

    const deliveries = await subscription.take(1_000);
    expect(deliveries).toHaveLength(1_000);
    await subscription.stop();
    const settled = deliveries.map((delivery) => subscription.settle(delivery, { kind: 'ack' }));
    await connection.close();
    await Promise.all(settled);

    await until(async () => (await broker.manager.streams.info('payment')).state.messages === 0);
  });

  test('ends in time while the broker stands still', async () => {
    const connection = broker.join();
    await up(connection);
    broker.server.pause();

    const { ms } = await timed(connection.close());

    expect(ms).toBeLessThan(4_000);
    expect(connection.current()).toBeUndefined();
  });

  test('ends in time while the first connection is being made', async () => {
    broker.server.pause();
    const connection = broker.join();

    const { ms } = await timed(connection.close());

    expect(ms).toBeLessThan(4_000);
  });

  test('leaves no connection behind that was made while it closed', async () => {
    const server = await startOldServer('2.12.0');
    const connection = connectBroker({ uri: server.uri, name: 'test', log });
    await connection.close();

    expect(connection.state().up).toBe(false);
    await server.stop();
  });
});

describe('a connection', () => {
  test('tells of every loss and return, once', async () => {
    const connection = broker.join();
    const told: BrokerState[] = [];
    connection.onChange((state) => told.push(state));
    await up(connection);

    await broker.server.kill();
    await until(() => !connection.state().up);
    expect(connection.current()).toBeUndefined();
    await broker.startAgain();
    await up(connection);

    expect(told.map((state) => state.up)).toEqual([true, false, true]);
  });

  test('that waits for a broker can be told to stop', async () => {
    await broker.server.stop();
    const connection = broker.join();
    const stopping = new AbortController();
    const waiting = connection.whenUp(stopping.signal);

    stopping.abort();

    await expect(waiting).rejects.toThrow('stopped while waiting');
    await expect(connection.whenUp(stopping.signal)).rejects.toThrow('stopped while waiting');
  });

  test('receives its replies below its own name', async () => {
    const connection = await up(broker.join('payment-service'));
    const heard = broker.admin.subscribe('_INBOX_payment-service.>', { max: 1 });
    await broker.admin.flush();
    broker.admin.subscribe('ask', { callback: (_error, message) => message.respond('yes') });
    await broker.admin.flush();

    await connection.request('ask');

    for await (const message of heard) expect(message.string()).toBe('yes');
  });
});
