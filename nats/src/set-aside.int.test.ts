import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { headers, type MsgHdrs } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { provision } from './provision.ts';
import { createSetAside, type SetAside } from './set-aside.ts';
import { createSubscription, type Delivery, type Subscription } from './subscription.ts';
import { countsOf, log, startBroker, type TestBroker, takeAll, timed, until, up } from './testing/fixture.ts';

let broker: TestBroker;
let connection: BrokerConnection;
let running: Subscription[];
let setAside: SetAside['setAside'];
beforeEach(async () => {
  broker = await startBroker();
  connection = broker.join('payment-service');
  running = [];
  setAside = createSetAside({ broker: connection }).setAside;
  await provision(broker.admin, { mode: 'create' });
});
afterEach(async () => {
  await Promise.all(running.map((subscription) => subscription.stop()));
  await broker.stop();
});

const limit = (changes: object) => broker.manager.streams.update('payment-backlog', changes);
const atomic = (allowed: boolean) => limit({ allow_atomic: allowed });
const inBacklog = async () => (await countsOf(broker, 'backlog')).stored;
const sent = () => connection.current()?.stats().outMsgs ?? 0;
const kinds = (outcomes: { kind: string }[]) => outcomes.map(({ kind }) => kind);

interface Message {
  subject: string;
  data: Uint8Array;
  hdrs: MsgHdrs | undefined;
}

async function publish(messages: Message[]): Promise<void> {
  const js = broker.admin.jetstream();
  await Promise.all(
    messages.map(({ subject, data, hdrs = headers() }) =>
      // As our publisher does: the copy must not say it.
      js.publish(subject, data, { headers: hdrs, expect: { streamName: 'payment' } }),
    ),
  );
}

const plain = (count: number, bytes = 20): Message[] =>
  Array.from({ length: count }, (_, index) => ({
    subject: 'payments.new',
    data: new TextEncoder().encode(`${index}`.padEnd(bytes, '.')),
    hdrs: undefined,
  }));

/** Published to `payment` and taken from there. */
async function pulled(messages: Message[]): Promise<Delivery[]> {
  await publish(messages);
  return takeAll(pulling('payment'), messages.length);
}

function pulling(from: 'payment' | 'backlog'): Subscription {
  const subscription = createSubscription({ broker: connection, log, heldMax: 5_000, from });
  running.push(subscription);
  void subscription.run();
  return subscription;
}

/** What can be compared of a delivery: all but how often it came. */
const said = ({ subject, data, headers: hdrs, storedAt, sequence }: Delivery) => ({
  subject,
  data: Buffer.from(data).toString('base64'),
  headers: Object.fromEntries([...hdrs].filter(([name]) => name !== 'Nats-Expected-Stream')),
  storedAt,
  sequence,
});

/** Of every kind that can lie in the queue, by turns. */
function motley(count: number): Message[] {
  const kindsOf: ((index: number) => Message)[] = [
    (index) => ({ subject: 'payments.new', data: Buffer.from(`{"n":${index}}`), hdrs: undefined }),
    (index) => ({
      subject: 'payments.draft',
      data: new Uint8Array([0, 255, 13, 10, 128, index % 256]),
      hdrs: undefined,
    }),
    () => ({ subject: 'payments.update', data: new Uint8Array(0), hdrs: odd() }),
    (index) => ({
      subject: 'payments.no-such-action',
      data: Buffer.from('not JSON'),
      hdrs: withId(`id-${index}`),
    }),
  ];
  return Array.from({ length: count }, (_, index) => {
    const kind = kindsOf[index % kindsOf.length];
    if (kind === undefined) throw new Error('there is no kind');
    return kind(index);
  });
}

function odd(): MsgHdrs {
  const hdrs = headers();
  for (const value of ['red', 'grün', '', '  spaced: "out"  ', 'x'.repeat(5_000)])
    hdrs.append('Colour', value);
  hdrs.set('colour', 'another one');
  hdrs.set('traceparent', '00-a-b-01');
  hdrs.set("odd!#$%&'*+-.^_|~name", 'odd');
  return hdrs;
}

function withId(id: string): MsgHdrs {
  const hdrs = headers();
  hdrs.set('Nats-Msg-Id', id);
  return hdrs;
}

describe.each([
  ['in batches', true],
  ['one by one, where the stream takes no batches', false],
])('a backlog is set aside %s', (_how, inBatches) => {
  beforeEach(() => atomic(inBatches));

  test('with its bytes, headers, times, places and order', async () => {
    const taken = await pulled(motley(2_000));

    const { value: outcomes, ms } = await timed(setAside(taken));

    expect(outcomes).toEqual(taken.map(() => ({ kind: 'aside' })));
    expect(await inBacklog()).toBe(2_000);
    const again = await takeAll(pulling('backlog'), 2_000);
    expect(again.map(said)).toEqual(taken.map(said));
    expect(again.map(({ deliveries }) => deliveries)).toEqual(taken.map(() => 1));
    expect(ms).toBeLessThan(10_000);
    // It only publishes: what becomes of the originals is the caller's decision.
    expect(await countsOf(broker)).toMatchObject({ stored: 2_000, inHand: 2_000 });
  });

  test('twice and is there once, as after a crash before the acknowledgement', async () => {
    const taken = await pulled(motley(700));
    await createSetAside({ broker: connection }).setAside(taken.slice(0, 300));

    expect(new Set(kinds(await setAside(taken)))).toEqual(new Set(['aside']));
    expect(new Set(kinds(await setAside(taken)))).toEqual(new Set(['aside']));

    const again = await takeAll(pulling('backlog'), 700);
    expect(again.map(said)).toEqual(taken.map(said));
    expect(await inBacklog()).toBe(700);
  });

  test('as far as there is room; the rest is said to be full, and fits when there is room', async () => {
    const taken = await pulled(plain(1_200));
    await limit({ max_msgs: 650 });
    const before = sent();

    const outcomes = kinds(await setAside(taken));
    // One batch that fits, one that does not, and singles until one is refused: not each of the rest.
    expect(sent() - before).toBeLessThan(1_300);

    expect(outcomes.slice(0, 650)).toEqual(Array.from({ length: 650 }, () => 'aside'));
    expect(outcomes.slice(650)).toEqual(Array.from({ length: 550 }, () => 'full'));
    expect(await inBacklog()).toBe(650);
    await limit({ max_msgs: -1 });
    expect(new Set(kinds(await setAside(taken)))).toEqual(new Set(['aside']));
    expect(await inBacklog()).toBe(1_200);
  });

  test('when the limit is one of bytes', async () => {
    const taken = await pulled(plain(50, 1_000));
    await limit({ max_bytes: 30_000 });

    const outcomes = kinds(await setAside(taken));

    const fitting = await inBacklog();
    expect(fitting).toBeGreaterThan(15);
    expect(outcomes).toEqual(taken.map((_delivery, index) => (index < fitting ? 'aside' : 'full')));
  });

  test('but for one that is larger than the backlog takes, which does not stop the others', async () => {
    const taken = await pulled([...plain(3), ...plain(1, 3_000), ...plain(200)]);
    await limit({ max_msg_size: 1_000 });

    const outcomes = kinds(await setAside(taken));

    expect(outcomes).toEqual(taken.map((_delivery, index) => (index === 3 ? 'full' : 'aside')));
  });

  test('also when the messages are as large as they may be', async () => {
    const taken = await pulled(plain(40, 262_000));

    expect(new Set(kinds(await setAside(taken)))).toEqual(new Set(['aside']));
    expect(await inBacklog()).toBe(40);
    const batchAt = async (seq: number) =>
      (await broker.manager.streams.getMessage('payment-backlog', { seq })).header.get('Nats-Batch-Id');
    // Not 10 MB at one time.
    if (inBatches) expect(await batchAt(1)).not.toBe(await batchAt(40));
  });

  test('not knowably while the broker is away, and after it is back each is there once', async () => {
    const taken = await pulled(plain(1_200));
    const work = setAside(taken);
    await broker.server.kill();
    const { value: outcomes, ms } = await timed(work);

    expect(ms).toBeLessThan(2_000);
    expect(outcomes).toHaveLength(1_200);
    expect(outcomes.at(-1)).toMatchObject({ kind: 'unknown', detail: expect.any(String) });
    await until(() => !connection.state().up);
    expect(new Set(kinds(await setAside(taken)))).toEqual(new Set(['unknown']));

    await broker.startAgain();
    await up(connection);
    const known = await inBacklog();
    expect(known).toBeGreaterThanOrEqual(outcomes.filter(({ kind }) => kind === 'aside').length);
    await until(async () => kinds(await setAside(taken)).every((kind) => kind === 'aside'));
    expect(await inBacklog()).toBe(1_200);
  });
});

test('a message with the same id as another one, as after a forgotten duplicate, is set aside beside it', async () => {
  await publish([{ subject: 'payments.new', data: Buffer.from('first'), hdrs: withId('same') }]);
  const live = pulling('payment');
  const [first] = await takeAll(live, 1);
  if (first === undefined) throw new Error('there was nothing');
  await live.settle(first, { kind: 'ack' });
  await broker.server.stop();
  await broker.startAgain();
  await publish([{ subject: 'payments.new', data: Buffer.from('again'), hdrs: withId('same') }]);
  const [second] = await takeAll(live, 1);
  if (second === undefined) throw new Error('there was nothing');
  expect(second.sequence).toBe(2);

  expect(kinds(await setAside([first, second]))).toEqual(['aside', 'aside']);

  expect(await inBacklog()).toBe(2);
  const again = await takeAll(pulling('backlog'), 2);
  expect(again.map(({ header }) => header('Nats-Msg-Id'))).toEqual(['same', 'same']);
});

test('a message on a subject that the backlog does not have keeps it', async () => {
  await broker.manager.streams.update('payment', { subjects: ['payments.>'] });
  const taken = await pulled([{ subject: 'payments.new.by-hand', data: Buffer.from('x'), hdrs: undefined }]);

  expect(kinds(await setAside(taken))).toEqual(['aside']);

  expect(await takeAll(pulling('backlog'), 1)).toMatchObject([{ subject: 'payments.new.by-hand' }]);
});

test('what a message of the queue says of its own origin is not believed', async () => {
  const hdrs = headers();
  hdrs.set('Paystream-Stored-At', '2001-01-01T00:00:00.000Z');
  hdrs.set('Paystream-Sequence', '77');
  const before = Date.now();
  const taken = await pulled([{ subject: 'payments.new', data: Buffer.from('x'), hdrs }]);

  await setAside(taken);

  const [again] = await takeAll(pulling('backlog'), 1);
  expect(taken[0]).toMatchObject({ sequence: 1 });
  expect(again).toMatchObject({ sequence: 1, storedAt: taken[0]?.storedAt });
  expect(Math.abs((again?.storedAt.getTime() ?? 0) - before)).toBeLessThan(5_000);
});

test('batches are tried again a minute after the stream did not take them', async () => {
  let now = 0;
  const patient = createSetAside({ broker: connection, clock: () => now });
  const taken = await pulled(plain(6));
  const asideTogether = async (from: number) => {
    await patient.setAside(taken.slice(from, from + 2));
    const { header } = await broker.manager.streams.getMessage('payment-backlog', { seq: from + 1 });
    return header.has('Nats-Batch-Id');
  };

  await atomic(false);
  expect(await asideTogether(0)).toBe(false);
  await atomic(true);
  now = 59_999;
  expect(await asideTogether(2)).toBe(false);
  now = 60_000;
  expect(await asideTogether(4)).toBe(true);
});

test('one by one means 64 at a time', async () => {
  await atomic(false);
  const [first, ...others] = await pulled(plain(300));
  if (first === undefined) throw new Error('there was nothing');
  await setAside([first]);
  broker.server.pause();
  const before = sent();

  const work = setAside(others);
  await until(() => sent() - before >= 64);
  // Had there been more to send, it would have been sent in the same turn.
  expect(sent() - before).toBe(64);
  broker.server.resume();

  expect(new Set(kinds(await work))).toEqual(new Set(['aside']));
});

test('nothing to set aside is nothing', async () => {
  expect(await setAside([])).toEqual([]);
});

test('all is unknown while there is no backlog to set it aside to', async () => {
  const taken = await pulled(plain(600));
  await broker.manager.streams.delete('payment-backlog');

  const { value, ms } = await timed(setAside(taken));

  expect(value).toEqual(taken.map(() => ({ kind: 'unknown', detail: 'no stream takes the messages' })));
  expect(ms).toBeLessThan(2_000);
});
