import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { headers } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { provision } from './provision.ts';
import { createSubscription, type Delivery, retryDelayMs, type Subscription } from './subscription.ts';
import {
  countsOf,
  log,
  publishEvents,
  shortenAckWait,
  startBroker,
  type TestBroker,
  takeAll,
  takeOne,
  timed,
  until,
  up,
} from './testing/fixture.ts';

let broker: TestBroker;
let running: Subscription[];
beforeEach(async () => {
  broker = await startBroker();
  running = [];
  await provision(broker.admin, { mode: 'create' });
});
afterEach(async () => {
  await Promise.all(running.map((subscription) => subscription.stop()));
  await broker.stop();
});

/** A subscription of a service of its own, pulling. */
function subscribe({ heldMax = 100, connection = broker.join() } = {}) {
  const subscription = createSubscription({ broker: connection, log, heldMax });
  running.push(subscription);
  void subscription.run();
  return subscription;
}

const publish = (count = 1) => publishEvents(broker, count);
const text = ({ data }: Delivery) => new TextDecoder().decode(data);
const counts = async () => {
  const { stored, waiting, inHand } = await countsOf(broker);
  return { stored, waiting, inHand };
};
const gone = () => until(async () => (await counts()).stored === 0);
const deadLetters = async () => (await broker.manager.streams.info('payment-dead-letters')).state.messages;

describe('taking', () => {
  test('hands over the message with its time, place and headers; acknowledged, it leaves the stream', async () => {
    const before = Date.now();
    const hdrs = headers();
    hdrs.set('traceparent', '00-a-b-01');
    await broker.admin.jetstream().publish('payments.new', 'hello', { headers: hdrs });
    const subscription = subscribe();

    const delivery = await takeOne(subscription);

    expect(delivery).toMatchObject({ subject: 'payments.new', sequence: 1, deliveries: 1 });
    expect(text(delivery)).toBe('hello');
    expect(delivery.header('traceparent')).toBe('00-a-b-01');
    expect(delivery.header('other')).toBeUndefined();
    expect(Math.abs(delivery.storedAt.getTime() - before)).toBeLessThan(5_000);
    expect(await counts()).toEqual({ stored: 1, waiting: 0, inHand: 1 });
    expect(await subscription.settle(delivery, { kind: 'ack' })).toBe('acked');
    await gone();
  });

  test('waits for the next message and gives no more than was asked for', async () => {
    const subscription = subscribe();
    const first = takeOne(subscription);
    await until(() => subscription.state().pulling);

    const events = await publish(5);
    const taken = [await first];
    while (taken.length < 5) {
      const some = await subscription.take(3);
      expect(some.length).toBeLessThanOrEqual(3);
      taken.push(...some);
    }

    expect(taken.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5]);
    expect(new Set(taken.map(text))).toEqual(new Set(events.map((event) => JSON.stringify(event))));
  });

  test('never holds more than there is room for', async () => {
    await publish(50);
    const subscription = subscribe({ heldMax: 10 });
    let taken = 0;

    while (taken < 50) {
      const { inHand } = await counts();
      expect(inHand).toBeLessThanOrEqual(10);
      const delivery = await takeOne(subscription);
      await subscription.settle(delivery, { kind: 'ack' });
      taken += 1;
    }
    await gone();
  });

  test('reads a message whose headers the client cannot read', async () => {
    const socketLine = 'NATS/1.0\r\nbad name: x\r\n\r\n';
    await publishRaw('payments.new', socketLine, 'by hand');
    const subscription = subscribe();

    const delivery = await takeOne(subscription);

    expect(text(delivery)).toBe('by hand');
    expect(delivery.header('traceparent')).toBeUndefined();
    const settled = await subscription.settle(delivery, { kind: 'dead-letter', reason: 'r', detail: 'd' });
    expect(settled).toBe('dead-lettered');
  });

  test('is one after the other for two services on one stream, and nothing is handed out twice', async () => {
    await publish(100);
    const both = [subscribe({ heldMax: 10 }), subscribe({ heldMax: 10 })];
    const seen: number[] = [];

    const work = both.map(async (subscription) => {
      for (;;) {
        const deliveries = await subscription.take(5);
        if (deliveries.length === 0) return;
        seen.push(...deliveries.map(({ sequence }) => sequence));
        for (const delivery of deliveries) await subscription.settle(delivery, { kind: 'ack' });
      }
    });
    await gone();
    await Promise.all(both.map((subscription) => subscription.stop()));
    await Promise.all(work);

    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
  });
});

describe('settling', () => {
  test('with retry brings the message again, not at once, and counts it', async () => {
    await publish();
    const subscription = subscribe();

    const first = await takeOne(subscription);
    expect(await subscription.settle(first, { kind: 'retry', detail: 'try again' })).toBe('retry-later');
    const { value: second, ms } = await timed(takeOne(subscription));

    expect(second).toMatchObject({ sequence: 1, deliveries: 2 });
    expect(ms).toBeGreaterThan(500);
  });

  test('with release brings the message again soon', async () => {
    await publish();
    const subscription = subscribe();

    expect(await subscription.settle(await takeOne(subscription), { kind: 'release' })).toBe('retry-later');

    expect(await takeOne(subscription)).toMatchObject({ sequence: 1, deliveries: 2 });
  });

  test('is done once', async () => {
    await publish();
    const subscription = subscribe();
    const delivery = await takeOne(subscription);
    await subscription.settle(delivery, { kind: 'ack' });

    await expect(subscription.settle(delivery, { kind: 'ack' })).rejects.toThrow('only once');
    await expect(subscription.settle({ ...delivery }, { kind: 'ack' })).rejects.toThrow(
      'only what was taken',
    );
  });

  test('says that the message is kept when the broker cannot hear it', async () => {
    await publish();
    const connection = broker.join();
    const subscription = subscribe({ connection });
    const delivery = await takeOne(subscription);
    await broker.server.kill();
    await until(() => !connection.state().up);

    expect(await subscription.settle(delivery, { kind: 'ack' })).toBe('kept');

    await broker.startAgain();
    await until(async () => (await counts()).stored === 1);
  });

  test('waits longer each time before a retry, up to a minute, and never the same', () => {
    const middle = [1, 2, 3, 4, 5, 50].map((deliveries) => retryDelayMs(deliveries, () => 0.5));

    expect(middle).toEqual([1_000, 5_000, 15_000, 30_000, 60_000, 60_000]);
    expect(retryDelayMs(1, () => 0)).toBe(800);
    expect(retryDelayMs(1, () => 1)).toBe(1_200);
  });
});

describe('a dead letter', () => {
  const reason = { kind: 'dead-letter', reason: 'not-json', detail: 'line one\nzwei ü' } as const;

  test('keeps the bytes, the headers and the reason, and leaves the work queue', async () => {
    const data = new Uint8Array([0, 255, 10, 13, 128]);
    const hdrs = headers();
    hdrs.append('Colour', 'red');
    hdrs.append('Colour', 'green');
    hdrs.set('Nats-TTL-Like', 'must not act on the copy');
    await broker.admin.jetstream().publish('payments.draft', data, { headers: hdrs, msgID: 'id-1' });
    const subscription = subscribe();
    const delivery = await takeOne(subscription);

    expect(await subscription.settle(delivery, reason)).toBe('dead-lettered');

    await gone();
    const letter = await broker.manager.streams.getMessage('payment-dead-letters', { seq: 1 });
    expect(letter.subject).toBe('dead-letters.payments.draft');
    expect([...letter.data]).toEqual([...data]);
    expect(Object.fromEntries(letter.header)).toEqual({
      Colour: ['red', 'green'],
      'Nats-Msg-Id': [`payment.1.${delivery.storedAt.getTime()}`],
      'Nats-Expected-Stream': ['payment-dead-letters'],
      'Paystream-Message-Id': ['id-1'],
      'Paystream-Reason': ['not-json'],
      'Paystream-Detail': ['line one?zwei ?'],
      'Paystream-Subject': ['payments.draft'],
      'Paystream-Deliveries': ['1'],
      'Paystream-Stored-At': [delivery.storedAt.toISOString()],
      'Paystream-Sequence': ['1'],
    });
  });

  test('goes to a subject of its own when the action is none of ours', async () => {
    await broker.admin.jetstream().publish('payments.no-such-action', 'x');
    const subscription = subscribe();

    await subscription.settle(await takeOne(subscription), reason);

    const letter = await broker.manager.streams.getMessage('payment-dead-letters', { seq: 1 });
    expect(letter.subject).toBe('dead-letters.payments.unknown');
    expect(letter.header.get('Paystream-Subject')).toBe('payments.no-such-action');
  });

  test('is stored once when the same message is dead-lettered again after a crash', async () => {
    await publish();
    const crashed = subscribe();
    const delivery = await takeOne(crashed);
    const { manager } = broker;
    // As if the process had died between the dead letter and the term: the consumer hands the message out again.
    const connection = broker.join();
    const lost = await createDeadLetterOnly(connection, delivery);
    expect(lost).toBe(1);

    expect(await crashed.settle(delivery, reason)).toBe('dead-lettered');

    await gone();
    expect((await manager.streams.info('payment-dead-letters')).state.messages).toBe(1);
  });

  test('stays where it is while there is no room for it, and is moved when there is', async () => {
    await broker.manager.streams.update('payment-dead-letters', { max_msgs: 1 });
    await broker.admin.jetstream().publish('dead-letters.payments.new', 'full');
    await publish();
    const subscription = subscribe();

    expect(await subscription.settle(await takeOne(subscription), reason)).toBe('kept');
    expect(subscription.state().deadLettersTaken).toBe(false);
    expect(await counts()).toMatchObject({ stored: 1 });

    await broker.manager.streams.update('payment-dead-letters', { max_msgs: -1 });
    expect(await subscription.settle(await takeOne(subscription), reason)).toBe('dead-lettered');
    expect(subscription.state().deadLettersTaken).toBe(true);
    await gone();
  });

  test('has room for the largest message that the queue takes', async () => {
    await broker.admin.jetstream().publish('payments.new', new Uint8Array(262_000));
    const subscription = subscribe();

    const settled = await subscription.settle(await takeOne(subscription), {
      ...reason,
      detail: 'x'.repeat(5_000),
    });

    expect(settled).toBe('dead-lettered');
    expect(await deadLetters()).toBe(1);
  });
});

describe('pausing', () => {
  test('gives back what is held, pulls nothing more, and pulls again after resuming', async () => {
    await publish(5);
    const subscription = subscribe();
    const delivery = await takeOne(subscription);

    subscription.pause('the database is away');

    expect(subscription.state()).toMatchObject({ pulling: false, detail: 'the database is away' });
    expect(await subscription.take(10)).toEqual([]);
    const other = subscribe();
    const seen = new Map<number, number>();
    while (seen.size < 4) {
      const again = await takeOne(other);
      seen.set(again.sequence, again.deliveries);
      await other.settle(again, { kind: 'ack' });
    }
    expect([...seen].sort()).toEqual([
      [2, 2],
      [3, 2],
      [4, 2],
      [5, 2],
    ]);
    await other.stop();
    await publish();
    // A new message is left alone: nothing pulls.
    await until(async () => (await counts()).waiting === 1);
    subscription.resume('the database is away');
    await subscription.settle(delivery, { kind: 'ack' });
    expect(await takeOne(subscription).then((last) => subscription.settle(last, { kind: 'ack' }))).toBe(
      'acked',
    );
    await gone();
  });

  test('wakes who waits for a message, with nothing', async () => {
    const subscription = subscribe();
    const waiting = subscription.take(1);

    subscription.pause('a reason');

    expect(await waiting).toEqual([]);
  });
});

describe('stopping', () => {
  test('gives back at once what was not taken: another service has it without waiting', async () => {
    await publish(20);
    const leaving = subscribe();
    await until(async () => (await counts()).inHand === 20);
    const [kept] = await leaving.take(1);

    const { ms } = await timed(leaving.stop());
    const staying = subscribe();
    const seen = new Map<number, number>();
    const { ms: waited } = await timed(
      (async () => {
        while (seen.size < 19) {
          const delivery = await takeOne(staying);
          seen.set(delivery.sequence, delivery.deliveries);
        }
      })(),
    );

    expect(ms).toBeLessThan(500);
    expect(waited).toBeLessThan(1_000);
    expect([...new Set(seen.values())]).toEqual([2]);
    // What was taken before the stop is still settled.
    expect(kept && (await leaving.settle(kept, { kind: 'ack' }))).toBe('acked');
    await until(async () => (await counts()).stored === 19);
  });

  test('gives back in the order in which it came, what was taken before what was not', async () => {
    await publish(40);
    const leaving = subscribe();
    await until(async () => (await counts()).inHand === 40);
    const taken = await takeAll(leaving, 20);

    leaving.pause('stopping', { keepHeld: true });
    const released = taken.map((delivery) => leaving.settle(delivery, { kind: 'release', at: 'once' }));
    await Promise.all([...released, leaving.stop()]);

    const again = await takeAll(subscribe(), 40);
    expect(again.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 40 }, (_, index) => index + 1),
    );
  });

  test('loses nothing that is on its way at that moment', async () => {
    await publish(500);
    const leaving = subscribe({ heldMax: 1_000 });
    const taken = await leaving.take(1);
    await leaving.stop();

    const staying = subscribe({ heldMax: 1_000 });
    let seen = taken.length;
    const { ms } = await timed(
      (async () => {
        while (seen < 500) seen += (await staying.take(500)).length;
      })(),
    );

    expect(ms).toBeLessThan(5_000);
  });

  test('resolves while the broker is away, and wakes who waits', async () => {
    const connection = broker.join();
    const subscription = subscribe({ connection });
    await up(connection);
    const waiting = subscription.take(1);
    await broker.server.kill();

    const { ms } = await timed(subscription.stop());

    expect(ms).toBeLessThan(2_000);
    expect(await waiting).toEqual([]);
  });
});

describe('pulling goes on by itself', () => {
  test('after the broker was restarted', async () => {
    const subscription = subscribe();
    await publish();
    await subscription.settle(await takeOne(subscription), { kind: 'ack' });
    await gone();

    await broker.server.kill();
    await until(() => !subscription.state().pulling);
    await broker.startAgain();
    await until(() => subscription.state().pulling);
    const [event] = await until(() => publish().catch(() => undefined));

    expect(text(await takeOne(subscription))).toBe(JSON.stringify(event));
  });

  test('after the broker stood still for longer than a pull', async () => {
    const connection = broker.join();
    const subscription = subscribe({ connection });
    await until(() => subscription.state().pulling);

    broker.server.pause();
    await until(() => !subscription.state().pulling);
    expect(subscription.state().detail).toMatch(/did not answer/);
    broker.server.resume();
    await until(() => subscription.state().pulling);
    await publish();

    expect(await takeOne(subscription)).toMatchObject({ deliveries: 1 });
  });

  test('after the consumer was deleted and made again, and says meanwhile what is missing', async () => {
    const subscription = subscribe();
    await until(() => subscription.state().pulling);

    await broker.manager.consumers.delete('payment', 'payment-consumer');
    const { detail } = await until(() => !subscription.state().pulling && subscription.state());
    expect(detail).toMatch(/consumer deleted|npm run provision/);
    await until(() => subscription.state().detail.includes('npm run provision'));
    await provision(broker.admin, { mode: 'create' });
    await publish();

    expect(await takeOne(subscription)).toMatchObject({ deliveries: 1 });
    expect(subscription.state().pulling).toBe(true);
  });

  test('when the consumer comes later than the service', async () => {
    await broker.manager.streams.delete('payment');
    const subscription = subscribe();
    await until(() => subscription.state().detail.includes('npm run provision'));

    await provision(broker.admin, { mode: 'create' });
    await publish();

    expect(await takeOne(subscription)).toMatchObject({ deliveries: 1 });
  });

  test('when a process dies with messages in hand: they come again after the ack wait', async () => {
    await shortenAckWait(broker, { toMs: 500 });
    await publish();
    const connection = broker.join();
    await takeOne(subscribe({ connection }));
    await connection.close();
    const staying = subscribe();

    expect(await takeOne(staying)).toMatchObject({ sequence: 1, deliveries: 2 });
  });
});

test('one pull takes what is there and ends', async () => {
  await publish(3);
  const subscription = createSubscription({ broker: broker.join(), log, heldMax: 3 });

  const { ms } = await timed(subscription.pullOnce());

  expect((await subscription.take(10)).map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  // Full, so it does not wait for its time to run out.
  expect(ms).toBeLessThan(1_500);
  await subscription.stop();
});

/** The dead letter as `settle` publishes it, without the term behind it. Returns how many there are. */
async function createDeadLetterOnly(connection: BrokerConnection, delivery: Delivery): Promise<number> {
  const js = (await up(connection)).jetstream();
  await js.publish('dead-letters.payments.new', delivery.data, {
    msgID: `payment.${delivery.sequence}.${delivery.storedAt.getTime()}`,
  });
  return deadLetters();
}

/** Writes to the broker what no client of ours would. */
async function publishRaw(subject: string, head: string, body: string): Promise<void> {
  const { createConnection } = await import('node:net');
  const socket = createConnection(broker.server.port, '127.0.0.1');
  socket.resume();
  const bytes = head.length + body.length;
  socket.write(
    `CONNECT {"headers":true,"verbose":false}\r\nHPUB ${subject} ${head.length} ${bytes}\r\n${head}${body}\r\nPING\r\n`,
  );
  await until(async () => (await counts()).stored === 1);
  socket.destroy();
}
