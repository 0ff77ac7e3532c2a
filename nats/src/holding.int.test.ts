import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { provision } from './provision.ts';
import { createSubscription, type Subscription } from './subscription.ts';
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

// Long enough for a message to be handled, short enough for a test to see it pass several times.
const ackWaitMs = 1_000;

let broker: TestBroker;
let running: Subscription[];
beforeEach(async () => {
  broker = await startBroker();
  running = [];
  await provision(broker.admin, { mode: 'create' });
  await shortenAckWait(broker, { toMs: ackWaitMs });
});
afterEach(async () => {
  await Promise.all(running.map((subscription) => subscription.stop()));
  await broker.stop();
});

/** `thinksMs`: what the subscription takes the ack wait to be, and its heartbeat follows. */
function pulling({ thinksMs = ackWaitMs, connection = broker.join() } = {}) {
  const subscription = createSubscription({ broker: connection, log, heldMax: 100, ackWaitMs: thinksMs });
  running.push(subscription);
  void subscription.run();
  return subscription;
}

const counts = () => countsOf(broker);
const inHand = (count: number) => until(async () => (await counts()).inHand === count);
const handedOut = (times: number) => until(async () => (await counts()).handedOut >= times);
const deliveriesOf = (taken: { deliveries: number }[]) => taken.map(({ deliveries }) => deliveries);

/** That something does not happen is seen only when the time is over in which it would have. */
function elapsed(ms: number, meanwhile: () => unknown = () => undefined): Promise<boolean> {
  const over = performance.now() + ms;
  return until(() => {
    meanwhile();
    return performance.now() > over;
  });
}

describe('what is large', () => {
  test('is held up to so many bytes, and taken up to half of them, until all of it was taken', async () => {
    const large = JSON.stringify({ note: 'x'.repeat(200_000) });
    for (let count = 0; count < 20; count += 1) await broker.admin.jetstream().publish('payments.new', large);
    const connection = broker.join();
    const subscription = createSubscription({ broker: connection, log, heldBytesMax: 1_048_576, ackWaitMs });
    running.push(subscription);
    void subscription.run();

    await inHand(5);
    await elapsed(1_500);
    const held = await counts();
    const takes: number[] = [];
    for (let left = 20; left > 0; left -= takes.at(-1) ?? 0) {
      const taken = await subscription.take(500);
      for (const delivery of taken) await subscription.settle(delivery, { kind: 'ack' });
      takes.push(taken.length);
    }

    expect(held).toMatchObject({ waiting: 15, inHand: 5 });
    expect(Math.max(...takes)).toBe(2);
    expect(subscription.state().pulling).toBe(true);
  });
});

describe('what is held and not taken', () => {
  test('is handed out once, however long it lies here', async () => {
    await publishEvents(broker, 20);
    const subscription = pulling();
    await inHand(20);

    await elapsed(3.5 * ackWaitMs);

    expect(await counts()).toEqual({ stored: 20, waiting: 0, inHand: 20, handedOut: 20 });
    expect(new Set(deliveriesOf(await takeAll(subscription, 20)))).toEqual(new Set([1]));
  });

  test('is handed out again where the heartbeat is too slow, and is taken once all the same', async () => {
    await publishEvents(broker, 3);
    const subscription = pulling({ thinksMs: 60_000 });
    await handedOut(6);

    const taken = await takeAll(subscription, 3);
    await handedOut(9);
    await publishEvents(broker);
    const [next] = await subscription.take(10);
    for (const delivery of taken) await subscription.settle(delivery, { kind: 'ack' });

    expect(taken.map(({ sequence, deliveries }) => [sequence, deliveries])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
    expect(next).toMatchObject({ sequence: 4 });
    // The word on the first delivery counts for the last one too.
    await until(async () => (await counts()).stored === 1);
  });

  test('is wanted again when it was given back', async () => {
    await publishEvents(broker, 2);
    const subscription = pulling();
    await inHand(2);
    const taken = await takeOne(subscription);

    subscription.pause('a reason');
    await subscription.settle(taken, { kind: 'release' });
    subscription.resume('a reason');

    expect(deliveriesOf(await takeAll(subscription, 2))).toEqual([2, 2]);
  });

  test('is not given back for a pause that is over before the pull has ended', async () => {
    await publishEvents(broker, 2);
    const subscription = pulling();
    await inHand(2);

    subscription.pause('a reason');
    subscription.resume('a reason');

    expect(deliveriesOf(await takeAll(subscription, 2))).toEqual([1, 1]);
  });

  test('has most of its ack wait left when it is taken', async () => {
    const subscription = pulling({ thinksMs: 1.5 * ackWaitMs });
    await until(() => subscription.state().pulling);
    await publishEvents(broker);
    await inHand(1);
    // Half of what it thinks: unheard of for longer than a third, and its next heartbeat is further off.
    await elapsed(0.7 * ackWaitMs);

    await takeOne(subscription);
    const { ms } = await timed(handedOut(2));

    expect(ms).toBeGreaterThan(0.45 * ackWaitMs);
  });

  test('is reported at once when the connection is back', async () => {
    await shortenAckWait(broker, { toMs: 2 * ackWaitMs });
    await publishEvents(broker, 5);
    const connection = broker.join();
    pulling({ connection, thinksMs: 60_000 });
    await inHand(5);

    for (let n = 0; n < 4; n += 1) {
      await elapsed(0.8 * ackWaitMs);
      const returns = new Promise<void>((resolve) => {
        connection.onChange((state) => state.up && resolve());
      });
      await connection.current()?.reconnect();
      await returns;
    }

    expect(await counts()).toMatchObject({ inHand: 5, handedOut: 5 });
  });
});

describe('what is taken', () => {
  test('is not handed out again while its taker says that it works on it, and is when it stops', async () => {
    await publishEvents(broker);
    const subscription = pulling();
    const delivery = await takeOne(subscription);

    await elapsed(3 * ackWaitMs, () => expect(subscription.stillWorking(delivery)).toBe(true));
    expect((await counts()).handedOut).toBe(1);
    await handedOut(2);

    expect(await subscription.settle(delivery, { kind: 'ack' })).toBe('acked');
    expect(subscription.stillWorking(delivery)).toBe(false);
    expect(subscription.stillWorking({ ...delivery })).toBe(false);
  });

  test('cannot be reported while the broker is away', async () => {
    await publishEvents(broker);
    const connection = broker.join();
    const subscription = pulling({ connection });
    const delivery = await takeOne(subscription);
    await broker.server.kill();
    await until(() => !connection.state().up);

    expect(subscription.stillWorking(delivery)).toBe(false);

    await broker.startAgain();
    await up(connection);
    expect(subscription.stillWorking(delivery)).toBe(true);
  });
});

describe('pausing for several reasons', () => {
  test('lasts as long as one of them stands, and names them', async () => {
    const subscription = pulling();
    await until(() => subscription.state().pulling);

    subscription.pause('the database is away');
    subscription.pause('an operator paused it');
    subscription.pause('the database is away');
    await publishEvents(broker);
    expect(subscription.state()).toMatchObject({
      pulling: false,
      detail: 'the database is away; an operator paused it',
      pausedFor: ['the database is away', 'an operator paused it'],
    });
    subscription.resume('the database is away');
    subscription.resume('something else');

    expect(await subscription.take(1)).toEqual([]);
    expect(subscription.state()).toMatchObject({
      pulling: false,
      detail: 'an operator paused it',
      pausedFor: ['an operator paused it'],
    });
    await elapsed(0.5 * ackWaitMs);
    expect(await counts()).toMatchObject({ waiting: 1, handedOut: 0 });

    subscription.resume('an operator paused it');
    expect(subscription.state().pausedFor).toEqual([]);
    expect(await takeOne(subscription)).toMatchObject({ deliveries: 1 });
    expect(subscription.state().pulling).toBe(true);
  });

  test('is waited for by whoever was given nothing', async () => {
    const subscription = pulling();
    await subscription.whenResumed();
    subscription.pause('one');
    subscription.pause('two');
    let isResumed = false;
    const resumed = subscription.whenResumed().then(() => {
      isResumed = true;
    });

    subscription.resume('one');
    await elapsed(50);
    expect(isResumed).toBe(false);
    subscription.resume('two');
    await resumed;

    subscription.pause('for ever');
    const stopped = subscription.whenResumed();
    await subscription.stop();
    await stopped;
  });

  test('before it pulls at all holds it back', async () => {
    const subscription = createSubscription({ broker: broker.join(), log });
    running.push(subscription);
    subscription.pause('not yet');
    void subscription.run();
    await publishEvents(broker);
    await elapsed(0.5 * ackWaitMs);
    expect((await counts()).handedOut).toBe(0);

    subscription.resume('not yet');

    expect(await takeOne(subscription)).toMatchObject({ deliveries: 1 });
  });
});

describe('pausing with what is held kept', () => {
  const keepHeld = { keepHeld: true };

  test('gives nothing back and hands nothing over, for many ack waits', async () => {
    await publishEvents(broker, 5);
    const subscription = pulling();
    await inHand(5);

    subscription.pause('an operator paused it', keepHeld);
    expect(await subscription.take(10)).toEqual([]);
    await elapsed(2.5 * ackWaitMs);

    expect(await counts()).toMatchObject({ inHand: 5, handedOut: 5 });
    subscription.resume('an operator paused it');
    expect(deliveriesOf(await takeAll(subscription, 5))).toEqual([1, 1, 1, 1, 1]);
  });

  test('keeps what is on its way at that moment too', async () => {
    await publishEvents(broker, 50);
    const subscription = createSubscription({ broker: broker.join(), log, heldMax: 50, ackWaitMs });
    running.push(subscription);
    const pull = subscription.pullOnce();
    await until(async () => (await counts()).handedOut > 0);
    subscription.pause('an operator paused it', keepHeld);
    await pull;
    const { handedOut: once } = await counts();

    subscription.resume('an operator paused it');

    expect(deliveriesOf(await takeAll(subscription, once))).toEqual(Array.from({ length: once }, () => 1));
    expect((await counts()).handedOut).toBe(once);
  });

  test.each([
    [
      'comes first',
      (subscription: Subscription) => {
        subscription.pause('the database is away');
        subscription.pause('an operator paused it', keepHeld);
      },
    ],
    [
      'comes second',
      (subscription: Subscription) => {
        subscription.pause('an operator paused it', keepHeld);
        subscription.pause('the database is away');
      },
    ],
    [
      'is the same one, said again',
      (subscription: Subscription) => {
        subscription.pause('the database is away', keepHeld);
        subscription.pause('the database is away');
      },
    ],
  ])('does not keep it from being given back for a reason that %s', async (_which, pauses) => {
    await publishEvents(broker, 3);
    const subscription = pulling();
    await inHand(3);

    pauses(subscription);

    const other = pulling();
    expect(deliveriesOf(await takeAll(other, 3))).toEqual([2, 2, 2]);
  });

  test('ends with stopping: what was kept is for the others, at once', async () => {
    await publishEvents(broker, 3);
    const subscription = pulling();
    await inHand(3);
    subscription.pause('an operator paused it', keepHeld);

    await subscription.stop();

    const { value, ms } = await timed(takeAll(pulling(), 3));
    expect(deliveriesOf(value)).toEqual([2, 2, 2]);
    expect(ms).toBeLessThan(0.9 * ackWaitMs);
  });
});
