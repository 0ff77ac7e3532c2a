import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DiscardPolicy } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { messageIdOf } from './messages.ts';
import { provision } from './provision.ts';
import { createPublisher, type Publisher } from './publisher.ts';
import { eventOf, startBroker, type TestBroker, timed, until, up } from './testing/fixture.ts';

let broker: TestBroker;
let connection: BrokerConnection;
let publisher: Publisher;
beforeEach(async () => {
  broker = await startBroker();
  connection = broker.join('third-party-gateway');
  publisher = createPublisher({ broker: connection });
  await up(connection);
});
afterEach(() => broker.stop());

const stored = async () => (await broker.manager.streams.info('payment')).state.messages;

describe('a publish', () => {
  beforeEach(() => provision(broker.admin, { mode: 'create' }));

  test('answers with the sequence once the stream holds the message, and knows a repeat', async () => {
    const event = eventOf();

    const first = await publisher.publish(event, { traceparent: '00-a-b-01' });
    const second = await publisher.publish(event);

    expect(first).toEqual({ status: 'stored', id: messageIdOf(event), sequence: 1, duplicate: false });
    expect(second).toEqual({ ...first, duplicate: true });
    const message = await broker.manager.streams.getMessage('payment', { seq: 1 });
    expect(message.subject).toBe('payments.new');
    expect(message.json()).toEqual(event);
    expect(message.header.get('traceparent')).toBe('00-a-b-01');
    expect(message.header.get('Nats-Msg-Id')).toBe(messageIdOf(event));
  });

  test('stores each of many events sent at once, in its own place', async () => {
    const outcomes = await Promise.all(Array.from({ length: 300 }, () => publisher.publish(eventOf())));

    const sequences = outcomes.map((outcome) => (outcome.status === 'stored' ? outcome.sequence : 0));
    expect(new Set(sequences).size).toBe(300);
    expect(await stored()).toBe(300);
  });

  test('is refused at once when too many wait already', async () => {
    const narrow = createPublisher({ broker: connection, waitingMax: 2 });

    const outcomes = await Promise.all(Array.from({ length: 3 }, () => narrow.publish(eventOf())));

    expect(outcomes.map(({ status }) => status)).toEqual(['stored', 'stored', 'unavailable']);
    expect(outcomes[2]).toMatchObject({ reason: 'too-many' });
    expect(await narrow.publish(eventOf())).toMatchObject({ status: 'stored' });
  });

  test('says so within 1 s when the broker is gone, and works when it is back', async () => {
    const event = eventOf();
    await broker.server.kill();
    await until(() => !connection.state().up);

    const { value, ms } = await timed(publisher.publish(event));
    expect(value).toMatchObject({ status: 'unavailable', reason: 'broker-down', retryAfterS: 2 });
    expect(ms).toBeLessThan(1_000);

    await broker.startAgain();
    const again = await until(async () => {
      const outcome = await publisher.publish(event);
      return outcome.status === 'stored' && outcome;
    });
    expect(again).toMatchObject({ sequence: 1, duplicate: false });
  });

  test('does not wait for its own time limit when the broker dies meanwhile', async () => {
    broker.server.pause();
    const waiting = timed(publisher.publish(eventOf()));
    await broker.server.kill();

    const { value, ms } = await waiting;

    expect(value).toMatchObject({ status: 'unavailable', reason: 'broker-down' });
    expect(ms).toBeLessThan(1_000);
  });

  test('is answered within 5 s by a broker that has stopped, the next ones within 1 s, and works when it goes on', async () => {
    broker.server.pause();

    const first = await timed(publisher.publish(eventOf()));
    expect(first.value).toMatchObject({ status: 'unavailable', reason: 'no-answer' });
    expect(first.ms).toBeLessThan(5_000);

    const deadline = performance.now() + 6_000;
    while (performance.now() < deadline) {
      const next = await timed(publisher.publish(eventOf()));
      expect(next.value.status).toBe('unavailable');
      expect(next.ms).toBeLessThan(1_000);
      // Known to be down by now, and answered at once: no need to ask a thousand times a second.
      if (!connection.state().up) break;
    }

    broker.server.resume();
    await until(async () => (await publisher.publish(eventOf())).status === 'stored');
  });

  test('that is acknowledged late, after its 503, ends the doubt about the broker', async () => {
    const patient = createPublisher({ broker: connection, answerWithinMs: 1_500 });
    let answers = 0;
    connection.current()?.subscribe(`${connection.inboxPrefix}.>`, {
      callback: () => {
        answers += 1;
      },
    });
    await connection.current()?.flush();
    broker.server.pause();
    await patient.publish(eventOf());
    const doubted = await timed(patient.publish(eventOf()));
    expect(doubted.ms).toBeLessThan(1_000);

    broker.server.resume();
    // The stream has it before the publisher has heard so.
    await until(async () => answers === 2);
    await connection.current()?.flush();
    broker.server.pause();
    const trusted = await timed(patient.publish(eventOf()));
    broker.server.resume();

    expect(trusted.value).toMatchObject({ status: 'unavailable', reason: 'no-answer' });
    expect(trusted.ms).toBeGreaterThan(1_400);
  });
});

describe('a publish that nobody can take', () => {
  test('is answered quickly when the stream is missing', async () => {
    const { value, ms } = await timed(publisher.publish(eventOf()));

    expect(value).toMatchObject({ status: 'unavailable', reason: 'stream-missing' });
    expect(ms).toBeLessThan(1_000);
  });

  test('is answered with a longer wait when the stream is full, and is taken when there is room', async () => {
    const limits = { subjects: ['payments.*'], discard: DiscardPolicy.New };
    await broker.manager.streams.add({ ...limits, name: 'payment', max_bytes: 1_000 });
    const outcomes = [];
    for (let n = 0; n < 5; n += 1) outcomes.push(await publisher.publish(eventOf()));
    const held = await stored();

    const refused = eventOf();
    expect(await publisher.publish(refused)).toMatchObject({
      status: 'unavailable',
      reason: 'stream-full',
      retryAfterS: 30,
    });
    // What was acknowledged is still there.
    expect(outcomes.filter(({ status }) => status === 'stored')).toHaveLength(held);
    await broker.manager.streams.update('payment', { max_bytes: 1_000_000 });
    expect(await publisher.publish(refused)).toMatchObject({ status: 'stored', duplicate: false });
  });

  test('is refused when another stream has taken over the subject', async () => {
    await broker.manager.streams.add({ name: 'OTHER', subjects: ['payments.*'] });

    expect(await publisher.publish(eventOf())).toMatchObject({ status: 'unavailable', reason: 'refused' });
    expect((await broker.manager.streams.info('OTHER')).state.messages).toBe(0);
  });

  test('that is larger than the broker takes is refused', async () => {
    await provision(broker.admin, { mode: 'create' });

    const outcome = await publisher.publish({ ...eventOf(), note: 'x'.repeat(2_000_000) });

    expect(outcome).toMatchObject({ status: 'unavailable', reason: 'refused' });
  });
});

test('a publisher that was started before the broker answers 503, and works when the broker comes', async () => {
  await provision(broker.admin, { mode: 'create' });
  await broker.server.stop();
  const early = createPublisher({ broker: broker.join('early') });

  const { value, ms } = await timed(early.publish(eventOf()));
  expect(value).toMatchObject({ status: 'unavailable', reason: 'broker-down' });
  expect(ms).toBeLessThan(1_000);

  await broker.startAgain();
  await until(async () => (await early.publish(eventOf())).status === 'stored');
});
