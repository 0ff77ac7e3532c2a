import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { DiscardPolicy, headers, type NatsConnection, RetentionPolicy } from 'nats';
import { publishBatch } from './batch.ts';
import { connectBroker } from './connection.ts';
import type { OutgoingMessage } from './outgoing.ts';
import { log, startBroker, type TestBroker, timed, up } from './testing/fixture.ts';
import { startOldServer } from './testing/old-server.ts';

let broker: TestBroker;
let connection: NatsConnection;
beforeAll(async () => {
  broker = await startBroker();
  connection = await up(broker.join());
});
afterAll(() => broker.stop());
beforeEach(async () => {
  for (const { config } of await broker.manager.streams.list().next()) {
    await broker.manager.streams.delete(config.name);
  }
  await makeStream({});
});

const makeStream = (changes: object) => {
  const atomic = { allow_atomic: true };
  return broker.manager.streams.add({
    name: 'batches',
    subjects: ['batches.*'],
    retention: RetentionPolicy.Workqueue,
    discard: DiscardPolicy.New,
    ...atomic,
    ...changes,
  });
};
const changeStream = (changes: object) => broker.manager.streams.update('batches', changes);

const messageOf = (id: string, data = new TextEncoder().encode(id)): OutgoingMessage => ({
  subject: 'batches.new',
  data,
  id,
  headers: new Map(),
});
const some = (count: number, prefix = 'm') =>
  Array.from({ length: count }, (_, index) => messageOf(`${prefix}-${index}`));
const publish = (messages: OutgoingMessage[], { timeoutMs = 5_000 } = {}) =>
  publishBatch(connection, messages, { timeoutMs, stream: 'batches' });
const stored = async () => (await broker.manager.streams.info('batches')).state.messages;
const idAt = async (seq: number) =>
  (await broker.manager.streams.getMessage('batches', { seq })).header.get('Nats-Msg-Id');

describe('a batch is stored as a whole', () => {
  test.each([1, 2, 1_000])(
    'with %i messages, in order, and the sequence of the last is told',
    async (count) => {
      await publish(some(3, 'before'));

      expect(await publish(some(count))).toEqual({ kind: 'stored', lastSequence: 3 + count });

      expect(await stored()).toBe(3 + count);
      expect(await idAt(4)).toBe('m-0');
      expect(await idAt(3 + count)).toBe(`m-${count - 1}`);
    },
  );

  test('on more than one subject, with headers of their own', async () => {
    const [first, second] = some(2);
    if (first === undefined || second === undefined) throw new Error('there were none');
    await publish([
      { ...first, headers: new Map([['Colour', ['red', 'grün']]]) },
      { ...second, subject: 'batches.draft' },
    ]);

    const messages = await Promise.all(
      [1, 2].map((seq) => broker.manager.streams.getMessage('batches', { seq })),
    );
    expect(messages.map(({ subject }) => subject)).toEqual(['batches.new', 'batches.draft']);
    expect(messages[0]?.header.values('Colour')).toEqual(['red', 'grün']);
  });

  test('forty at once too', async () => {
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, n) => publish(some(50, `batch-${n}`))));

    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['stored']));
    expect(await stored()).toBe(2_000);
  });
});

describe('a batch is refused as a whole', () => {
  test('when it has an id twice, and the ids are not remembered', async () => {
    const [first, second] = some(2);
    if (first === undefined || second === undefined) throw new Error('there were none');

    expect(await publish([first, second, first])).toMatchObject({ kind: 'refused', code: 10201 });

    expect(await stored()).toBe(0);
    expect(await publish([first, second])).toEqual({ kind: 'stored', lastSequence: 2 });
  });

  test('when the stream knows one of its ids, or all of them', async () => {
    await publish(some(2));

    expect(await publish([...some(2, 'new'), ...some(1)])).toMatchObject({ kind: 'refused', code: 10201 });
    expect(await publish(some(2))).toMatchObject({ kind: 'refused', code: 10201 });
    expect(await stored()).toBe(2);
  });

  test.each([
    ['messages', { max_msgs: 5 }],
    ['bytes', { max_bytes: 1_000 }],
  ])('when the stream is full in the middle of it, by %s', async (_what, limits) => {
    await changeStream(limits);

    expect(await publish(some(50))).toMatchObject({ kind: 'refused', code: 10077 });
    expect(await stored()).toBe(0);
  });

  test('when one of its messages is too large for the stream', async () => {
    await changeStream({ max_msg_size: 1_000 });

    const outcome = await publish([...some(2), messageOf('large', new Uint8Array(2_000)), ...some(2, 'n')]);

    expect(outcome).toMatchObject({ kind: 'refused', code: 10176 });
    expect(await stored()).toBe(0);
  });

  test.each([
    ['first', 0],
    ['last', 2],
  ])('here when its %s message is too large for the broker', async (_which, at) => {
    const messages = some(2);
    messages.splice(at, 0, messageOf('large', new Uint8Array(2_000_000)));

    expect(await publish(messages)).toMatchObject({ kind: 'refused', code: 10054 });
    expect(await stored()).toBe(0);
    expect(await publish(some(2))).toMatchObject({ kind: 'stored' });
  });

  test('here when it is too large', async () => {
    const { value, ms } = await timed(publish(some(1_001)));

    expect(value).toMatchObject({
      kind: 'refused',
      code: 10199,
      detail: expect.stringContaining('at most 1000'),
    });
    expect(ms).toBeLessThan(500);
    expect(await stored()).toBe(0);
  });

  test('when the stream takes no batches', async () => {
    await changeStream({ allow_atomic: false });

    expect(await publish(some(3))).toMatchObject({ kind: 'refused', code: 10174 });
    expect(await stored()).toBe(0);
  });

  test('when another stream has taken over the subject', async () => {
    await broker.manager.streams.delete('batches');
    await makeStream({ name: 'OTHER' });

    expect(await publish(some(3))).toMatchObject({ kind: 'refused', code: 10060 });
    expect((await broker.manager.streams.info('OTHER')).state.messages).toBe(0);
  });

  test('when no stream is there', async () => {
    await broker.manager.streams.delete('batches');

    const { value, ms } = await timed(publish(some(3)));

    expect(value).toEqual({ kind: 'refused', code: undefined, detail: 'no stream takes the messages' });
    expect(ms).toBeLessThan(1_000);
  });

  test('while others have left too many open', async () => {
    for (let n = 0; n < 60; n += 1) leaveOpen(`open-${n}`);
    await connection.flush();

    expect(await publish(some(3))).toMatchObject({ kind: 'refused', code: 10176 });
    expect(await stored()).toBe(0);
  });
});

test('a server without batches is not sent one: it would store the messages one by one', async () => {
  const server = await startOldServer('2.11.9');
  const old = connectBroker({ uri: server.uri, name: 'test', log });
  try {
    expect(await publishBatch(await up(old), some(2), { timeoutMs: 500, stream: 'batches' })).toMatchObject({
      kind: 'refused',
      code: 10174,
    });
  } finally {
    await old.close();
    await server.stop();
  }
});

test('a broker that does not answer in time leaves it open what became of the batch, and the ids tell later', async () => {
  broker.server.pause();
  const outcome = await publish(some(3), { timeoutMs: 300 });
  broker.server.resume();

  expect(outcome).toMatchObject({ kind: 'no-answer' });
  expect(await publish(some(3))).toMatchObject({ kind: 'refused', code: 10201 });
  expect(await stored()).toBe(3);
});

/** The first message of a batch that is never finished. */
function leaveOpen(batch: string): void {
  const hdrs = headers();
  hdrs.set('Nats-Batch-Id', batch);
  hdrs.set('Nats-Batch-Sequence', '1');
  connection.publish('batches.new', 'x', { headers: hdrs });
}
