import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DiscardPolicy, nanos } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { messageIdOf, type PaymentEvent } from './messages.ts';
import { provision } from './provision.ts';
import { createPublisher, type Publisher, type PublishOutcome } from './publisher.ts';
import { eventOf, startBroker, type TestBroker, timed, until, up } from './testing/fixture.ts';
import type { UnmappedWebhook } from './webhooks.ts';

const unmappedOf = (index: number, body: string): UnmappedWebhook => ({
  source: 'x-payment',
  receivedAt: '2026-01-01T00:00:00.000Z',
  webhook: { id: String(index).padStart(32, '0'), body },
  reasons: ['nobody knows what it means'],
});

// The same promises with and without atomic batches: whoever publishes cannot tell which it was.
describe.each([
  ['a broker that takes batches', true],
  ['a broker that takes none', false],
])('events published at one time to %s', (_broker, atomic) => {
  let broker: TestBroker;
  let connection: BrokerConnection;
  let publisher: Publisher;
  beforeEach(async () => {
    broker = await startBroker();
    connection = broker.join('third-party-gateway');
    publisher = createPublisher({ broker: connection });
    await up(connection);
    await provision(broker.admin, { mode: 'create' });
    await changeStream({});
  });
  afterEach(() => broker.stop());

  // The client's types know no batches.
  const withBatches: object = { allow_atomic: atomic };
  const changeStream = (changes: object) =>
    broker.manager.streams.update('payment', { ...withBatches, ...changes });
  const some = (count: number) => Array.from({ length: count }, () => eventOf());
  const publishAll = (events: readonly PaymentEvent[], by = publisher) =>
    Promise.all(events.map((event) => by.publish(event)));
  const stored = async () => (await broker.manager.streams.info('payment')).state.messages;
  const idAt = async (seq: number) =>
    (await broker.manager.streams.getMessage('payment', { seq })).header.get('Nats-Msg-Id');
  const sequenceOf = (outcome: PublishOutcome | undefined) =>
    outcome?.status === 'stored' ? outcome.sequence : 0;

  /** What each outcome says is true: its message stands at its sequence. */
  const expectTrue = async (events: readonly PaymentEvent[], outcomes: readonly PublishOutcome[]) => {
    expect(outcomes.map(({ id }) => id)).toEqual(events.map(messageIdOf));
    for (const outcome of outcomes) {
      if (outcome.status === 'stored') expect(await idAt(outcome.sequence)).toBe(outcome.id);
    }
  };

  test('are each stored once, and each hears its own sequence', async () => {
    // A broker without batches says so when it gets the first one, and gets no other.
    await publishAll(some(30));
    const seen = await batchesSeen(broker);
    const events = some(60);

    const outcomes = await publishAll(events);

    expect(outcomes.map(({ status }) => status)).toEqual(events.map(() => 'stored'));
    expect(outcomes.some((outcome) => outcome.status === 'stored' && outcome.duplicate)).toBe(false);
    expect(new Set(outcomes.map(sequenceOf)).size).toBe(60);
    expect(await stored()).toBe(90);
    await expectTrue(events, outcomes);
    expect(seen().batches > 0).toBe(atomic);
  });

  test('that are equal are one event: it is stored once, and the others hear that it was', async () => {
    const [twin = eventOf(), ...others] = some(30);
    const events = [...others.slice(0, 10), twin, ...others.slice(10, 20), twin, twin, ...others.slice(20)];

    const outcomes = await publishAll(events);

    const twins = outcomes.filter(({ id }) => id === messageIdOf(twin));
    expect(twins.map((outcome) => outcome.status === 'stored' && outcome.duplicate)).toEqual([
      false,
      true,
      true,
    ]);
    expect(new Set(twins.map(sequenceOf)).size).toBe(1);
    expect(await stored()).toBe(30);
    await expectTrue(events, outcomes);
  });

  test('are stored but for those that the broker knows, and these hear of their first sequence', async () => {
    const known = some(3);
    const before = await publishAll(known);
    const events = [...some(12), ...known, ...some(12)];

    const outcomes = await publishAll(events, createPublisher({ broker: connection }));

    expect(outcomes.slice(12, 15)).toEqual(before.map((outcome) => ({ ...outcome, duplicate: true })));
    expect(outcomes.filter((outcome) => outcome.status === 'stored' && !outcome.duplicate)).toHaveLength(24);
    expect(await stored()).toBe(27);
    await expectTrue(events, outcomes);
  });

  test.each([
    ['messages', { max_msgs: 10 }],
    ['bytes', { max_bytes: 4_000 }],
  ])('are stored as long as there is room, by %s, and refused from then on', async (_what, limits) => {
    await changeStream({ discard: DiscardPolicy.New, ...limits });
    const events = some(40);

    const outcomes = await publishAll(events);

    const taken = outcomes.filter(({ status }) => status === 'stored');
    expect(taken.length).toBeGreaterThan(4);
    expect(taken).toHaveLength(await stored());
    for (const outcome of outcomes.filter(({ status }) => status === 'unavailable')) {
      expect(outcome).toMatchObject({ reason: 'stream-full', retryAfterS: 30 });
    }
    await expectTrue(events, outcomes);
    await changeStream({ discard: DiscardPolicy.New, max_msgs: -1, max_bytes: 1_000_000 });
    const again = await publishAll(events);
    expect(again.every(({ status }) => status === 'stored')).toBe(true);
    expect(await stored()).toBe(40);
  });

  test('are each stored beside large webhooks, whatever fits into one batch', async () => {
    // As large as they come: each character of the body is two in the message.
    const webhooks = Array.from({ length: 12 }, (_, index) => unmappedOf(index, '"'.repeat(250_000)));
    const said = [...some(30), ...webhooks.slice(0, 6), ...some(20), ...webhooks.slice(6), ...some(10)];

    const outcomes = await Promise.all(said.map((one) => publisher.publish(one)));

    expect(outcomes.map(({ status }) => status)).toEqual(said.map(() => 'stored'));
    expect(await stored()).toBe(72);
    for (const outcome of outcomes) expect(await idAt(sequenceOf(outcome))).toBe(outcome.id);
  });

  test('are stored but for the one that is too large', async () => {
    const large = { ...eventOf(), note: 'x'.repeat(700_000) };
    const tooLargeForClient = { ...eventOf(), note: 'x'.repeat(2_000_000) };
    const events = [...some(10), large, ...some(10), tooLargeForClient, ...some(10)];

    const outcomes = await publishAll(events);

    expect(outcomes.filter(({ status }) => status === 'stored')).toHaveLength(30);
    expect(outcomes[10]).toMatchObject({ status: 'unavailable', reason: 'refused' });
    expect(outcomes[21]).toMatchObject({ status: 'unavailable', reason: 'refused' });
    await expectTrue(events, outcomes);
  });

  test('are all refused when the stream is gone, or is another', async () => {
    await broker.manager.streams.delete('payment');
    const missing = await publishAll(some(20));
    await broker.manager.streams.add({
      name: 'OTHER',
      subjects: ['payments.*'],
      ...{ allow_atomic: atomic },
    });

    const other = await publishAll(some(20));

    for (const outcome of missing)
      expect(outcome).toMatchObject({ status: 'unavailable', reason: 'stream-missing' });
    for (const outcome of other) expect(outcome).toMatchObject({ status: 'unavailable', reason: 'refused' });
    expect((await broker.manager.streams.info('OTHER')).state.messages).toBe(0);
  });

  test('that get no answer in time may be stored all the same, and sent again they are there once', async () => {
    const patient = createPublisher({ broker: connection, answerWithinMs: 700 });
    const events = some(30);
    broker.server.pause();

    const { value, ms } = await timed(publishAll(events, patient));
    broker.server.resume();

    for (const outcome of value)
      expect(outcome).toMatchObject({ status: 'unavailable', reason: 'no-answer', retryAfterS: 2 });
    expect(ms).toBeLessThan(1_500);
    const again = await until(async () => {
      const outcomes = await publishAll(events, patient);
      return outcomes.every(({ status }) => status === 'stored') && outcomes;
    });
    expect(await stored()).toBe(30);
    await expectTrue(events, again);
  });

  test('that were told of no answer before they were sent can be sent again', async () => {
    const patient = createPublisher({ broker: connection, answerWithinMs: 2_500 });
    broker.server.pause();
    // The doubt about the broker: from now on nobody waits longer than 0.8 s, while what was sent is waited for in full.
    await patient.publish(eventOf());
    await publishAll(some(6), patient);
    const neverSent = eventOf();
    const told = await timed(patient.publish(neverSent));
    expect(told.value).toMatchObject({ status: 'unavailable', reason: 'no-answer' });
    expect(told.ms).toBeLessThan(1_200);

    broker.server.resume();

    const again = await until(async () => {
      const outcome = await patient.publish(neverSent);
      return outcome.status === 'stored' && outcome;
    });
    expect(await idAt(again.sequence)).toBe(messageIdOf(neverSent));
  });

  test('do not wait for their time limit when the broker dies, and sent again are there once', async () => {
    const events = some(30);
    broker.server.pause();
    const waiting = timed(publishAll(events));
    await broker.server.kill();

    const { value, ms } = await waiting;

    for (const outcome of value)
      expect(outcome).toMatchObject({ status: 'unavailable', reason: 'broker-down' });
    expect(ms).toBeLessThan(1_000);
    await broker.startAgain();
    await until(async () => (await publishAll(events)).every(({ status }) => status === 'stored'));
    expect(await stored()).toBe(30);
  });

  test('whose answers were stored are in the stream, however often the broker is killed meanwhile', async () => {
    const acknowledged = new Map<number, string>();
    let ended = false;
    const lane = async () => {
      while (!ended) {
        const outcome = await publisher.publish(eventOf());
        if (outcome.status === 'stored') acknowledged.set(outcome.sequence, outcome.id);
        else await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const lanes = Promise.all(Array.from({ length: 40 }, lane));
    for (let kills = 1; kills <= 3; kills += 1) {
      const before = acknowledged.size;
      await until(() => acknowledged.size > before + 200);
      await broker.server.kill();
      await broker.startAgain();
    }
    ended = true;
    await lanes;

    expect(acknowledged.size).toBeGreaterThan(600);
    const found = new Map<number, string>();
    const consumer = await broker.admin.jetstream().consumers.get('payment', 'payment-consumer');
    const messages = await consumer.fetch({ max_messages: await stored(), expires: 10_000 });
    for await (const message of messages) found.set(message.seq, message.headers?.get('Nats-Msg-Id') ?? '');
    expect([...acknowledged].filter(([sequence, id]) => found.get(sequence) !== id)).toEqual([]);
    expect(new Set(found.values()).size).toBe(found.size);
  });

  test('are refused at once over the limit of what may wait, and taken again below it', async () => {
    const narrow = createPublisher({ broker: connection, waitingMax: 20 });

    const outcomes = await publishAll(some(30), narrow);

    expect(outcomes.slice(0, 20).every(({ status }) => status === 'stored')).toBe(true);
    for (const outcome of outcomes.slice(20))
      expect(outcome).toMatchObject({ status: 'unavailable', reason: 'too-many' });
    expect((await publishAll(some(20), narrow)).every(({ status }) => status === 'stored')).toBe(true);
  });

  test('that were confirmed are known without another publish, until the connection is lost', async () => {
    const seen = await batchesSeen(broker);
    const event = eventOf();
    const first = await publisher.publish(event);
    await until(() => seen().messages === 1);

    const repeats = await publishAll(Array.from({ length: 20 }, () => event));

    expect(repeats).toEqual(repeats.map(() => ({ ...first, duplicate: true })));
    await broker.admin.flush();
    expect(seen().messages).toBe(1);

    await broker.server.kill();
    await broker.startAgain();
    await until(async () => (await publisher.publish(event)).status === 'stored');
    await until(() => seen().messages >= 2);
    expect(await stored()).toBe(1);
  });

  test('that were confirmed are stored again when their stream was deleted and made anew', async () => {
    const event = eventOf();
    expect(await publisher.publish(event)).toMatchObject({ status: 'stored', duplicate: false });
    await broker.manager.streams.delete('payment');
    expect(await publisher.publish(eventOf())).toMatchObject({ reason: 'stream-missing' });
    await provision(broker.admin, { mode: 'create' });

    expect(await publisher.publish(event)).toMatchObject({ status: 'stored', duplicate: false, sequence: 1 });
  });

  test('that were confirmed are asked about anew when the broker has forgotten them', async () => {
    await changeStream({ duplicate_window: nanos(300) });
    const forgetful = createPublisher({ broker: connection, duplicateWindowMs: 300 });
    const event = eventOf();
    await forgetful.publish(event);
    expect(await forgetful.publish(event)).toMatchObject({ duplicate: true });

    const again = await until(async () => {
      const outcome = await forgetful.publish(event);
      return outcome.status === 'stored' && !outcome.duplicate && outcome;
    });

    expect(sequenceOf(again)).toBe(2);
  });
});

/** How many messages went over the wire, and in how many batches. */
async function batchesSeen({ admin }: TestBroker): Promise<() => { messages: number; batches: number }> {
  const batches = new Set<string>();
  let messages = 0;
  admin.subscribe('payments.*', {
    callback: (_error, message) => {
      messages += 1;
      const batch = message.headers?.get('Nats-Batch-Id');
      if (batch) batches.add(batch);
    },
  });
  await admin.flush();
  return () => ({ messages, batches: batches.size });
}
