import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { headers } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { decodeEvent } from './messages.ts';
import { provision } from './provision.ts';
import { createSetAside } from './set-aside.ts';
import type { WorkQueueName } from './streams.ts';
import { createSubscription, type Delivery, type Subscription } from './subscription.ts';
import {
  countsOf,
  log,
  publishEvents,
  startBroker,
  type TestBroker,
  takeOne,
  until,
} from './testing/fixture.ts';

let broker: TestBroker;
let connection: BrokerConnection;
let running: Subscription[];
beforeEach(async () => {
  broker = await startBroker();
  connection = broker.join('payment-service');
  running = [];
  await provision(broker.admin, { mode: 'create' });
});
afterEach(async () => {
  await Promise.all(running.map((subscription) => subscription.stop()));
  await broker.stop();
});

function pulling(from: WorkQueueName): Subscription {
  const subscription = createSubscription({ broker: connection, log, from });
  running.push(subscription);
  void subscription.run();
  return subscription;
}

const setAside = (delivery: Delivery) => createSetAside({ broker: connection }).setAside([delivery]);
const letters = async () => (await broker.manager.streams.info('payment-dead-letters')).state.messages;
const letterAt = async (seq: number) => {
  const { subject, header, data } = await broker.manager.streams.getMessage('payment-dead-letters', { seq });
  return { subject, headers: Object.fromEntries(header), data: [...data] };
};

describe('what was set aside', () => {
  test('is read as the event that it was, and leaves the backlog when it is applied', async () => {
    const [event] = await publishEvents(broker);
    const live = pulling('payment');
    const first = await takeOne(live);
    await setAside(first);
    await live.settle(first, { kind: 'ack' });
    const aside = pulling('backlog');

    const again = await takeOne(aside);

    expect(decodeEvent(again)).toEqual(decodeEvent(first));
    expect(decodeEvent(again)).toMatchObject({ kind: 'event', event });
    expect(aside.state()).toMatchObject({ pulling: true, detail: 'pulling from payment-backlog-consumer' });
    expect(await aside.settle(again, { kind: 'ack' })).toBe('acked');
    await until(async () => (await countsOf(broker, 'backlog')).stored === 0);
    expect((await countsOf(broker)).stored).toBe(0);
  });

  test('keeps its time and place when it is tried again, and only the attempts grow', async () => {
    await publishEvents(broker, 2);
    const live = pulling('payment');
    await takeOne(live);
    const second = await takeOne(live);
    await setAside(second);
    const aside = pulling('backlog');

    await aside.settle(await takeOne(aside), { kind: 'release' });

    const { sequence, storedAt } = second;
    expect(await takeOne(aside)).toMatchObject({ sequence: 2, storedAt, deliveries: 2 });
    expect(sequence).toBe(2);
  });

  test('becomes the same dead letter as straight from the queue, and one only', async () => {
    const hdrs = headers();
    for (const colour of ['red', 'green']) hdrs.append('Colour', colour);
    await broker.admin
      .jetstream()
      .publish('payments.draft', new Uint8Array([0, 255]), { headers: hdrs, msgID: 'id-1' });
    const reason = { kind: 'dead-letter', reason: 'not-json', detail: 'a test' } as const;
    const live = pulling('payment');
    const first = await takeOne(live);
    await setAside(first);
    const aside = pulling('backlog');

    expect(await aside.settle(await takeOne(aside), reason)).toBe('dead-lettered');
    const fromBacklog = await letterAt(1);
    expect(await live.settle(first, reason)).toBe('dead-lettered');

    expect(await letters()).toBe(1);
    expect(fromBacklog.headers).toMatchObject({ 'Paystream-Message-Id': ['id-1'], Colour: ['red', 'green'] });
    await broker.manager.streams.delete('payment-dead-letters');
    await provision(broker.admin, { mode: 'create' });
    await broker.admin
      .jetstream()
      .publish('payments.draft', new Uint8Array([0, 255]), { headers: hdrs, msgID: 'id-2' });
    const second = await takeOne(live);
    await live.settle(second, reason);
    const fromQueue = await letterAt(1);
    const differing = ['Nats-Msg-Id', 'Paystream-Message-Id', 'Paystream-Sequence', 'Paystream-Stored-At'];
    const alike = ({ headers: all, ...rest }: typeof fromQueue) => ({
      ...rest,
      headers: Object.entries(all)
        .filter(([name]) => !differing.includes(name))
        .sort(),
    });
    expect(alike(fromQueue)).toEqual(alike(fromBacklog));
    await until(async () => (await countsOf(broker, 'backlog')).stored === 0);
  });
});

describe('what a person publishes to the backlog', () => {
  test.each<[string, Record<string, string>]>([
    ['without headers', {}],
    ['with a place and no time', { 'Paystream-Sequence': '12' }],
    ['with nonsense for a time', { 'Paystream-Sequence': '12', 'Paystream-Stored-At': 'yesterday' }],
  ])('%s has the time and place at which it lies there', async (_how, values) => {
    const before = Date.now();
    const hdrs = headers();
    for (const [name, value] of Object.entries(values)) hdrs.set(name, value);
    await broker.admin.jetstream().publish('backlog.payments.new', 'by hand', { headers: hdrs });

    const delivery = await takeOne(pulling('backlog'));

    expect(delivery).toMatchObject({ subject: 'payments.new', sequence: 1, deliveries: 1 });
    expect(Math.abs(delivery.storedAt.getTime() - before)).toBeLessThan(5_000);
  });
});

test('the two queues are pulled apart: pausing one leaves the other alone', async () => {
  await publishEvents(broker);
  const live = pulling('payment');
  const aside = pulling('backlog');
  aside.pause('an operator paused it', { keepHeld: true });

  const delivery = await takeOne(live);
  await setAside(delivery);

  expect(await live.settle(delivery, { kind: 'ack' })).toBe('acked');
  expect(await aside.take(1)).toEqual([]);
  aside.resume('an operator paused it');
  expect(await takeOne(aside)).toMatchObject({ sequence: 1 });
});

test('a backlog without its consumer is said to be so', async () => {
  await broker.manager.consumers.delete('payment-backlog', 'payment-backlog-consumer');
  const aside = pulling('backlog');

  const { detail } = await until(() => aside.state().detail.includes('npm run provision') && aside.state());

  expect(detail).toMatch(/stream payment-backlog has no consumer payment-backlog-consumer/);
});
