import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { headers as newHeaders } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { publishDeadLetter } from './dead-letter.ts';
import { createDeadLetters, type DeadLetterFilter, DeadLettersUnavailable } from './dead-letters.ts';
import type { Delivery } from './delivery.ts';
import { provision } from './provision.ts';
import { startBroker, type TestBroker, up } from './testing/fixture.ts';

let broker: TestBroker;
let connection: BrokerConnection;
const stream = 'payment-dead-letters';

beforeAll(async () => {
  broker = await startBroker();
  await provision(broker.admin, { mode: 'create' });
  connection = broker.join();
  await up(connection);
});
beforeEach(() => broker.manager.streams.purge(stream));
afterAll(() => broker.stop());

const letters = () => createDeadLetters({ broker: connection });

function deliveryOf({ subject = 'payments.new', data = 'nonsense', sequence = 7 } = {}): Delivery {
  const headers = new Map([
    ['Nats-Msg-Id', ['tx.new.abc']],
    ['traceparent', ['00-1']],
  ]);
  return {
    subject,
    data: Buffer.from(data, 'latin1'),
    headers,
    header: (name) => headers.get(name)?.[0],
    storedAt: new Date('2026-01-02T03:04:05.678Z'),
    sequence,
    deliveries: 4,
    from: 'payment',
  };
}

let count = 100;
async function putAside({ reason = 'not-json', subject = 'payments.new' } = {}): Promise<number> {
  count += 1;
  const delivery = deliveryOf({ subject, sequence: count });
  await publishDeadLetter(connection, { delivery, reason, detail: `number ${count}` });
  return (await broker.manager.streams.info(stream)).state.last_seq;
}

const found = async (filter: DeadLetterFilter, { after = 0, limit = 10, lookAtMax = 100 } = {}) => {
  const page = await letters().find({ filter, after, limit, lookAtMax });
  return { sequences: page.letters.map(({ sequence }) => sequence), next: page.next };
};

describe('a dead letter', () => {
  test('is the message as it was, and why it is there', async () => {
    const delivery = deliveryOf({ data: '"\xff"' });
    await publishDeadLetter(connection, {
      delivery,
      reason: 'tried-in-vain',
      detail: 'three times',
      firstError: 'the first',
      lastError: 'the last',
    });
    const { last_seq } = (await broker.manager.streams.info(stream)).state;

    const letter = await letters().get(last_seq);

    expect(letter).toMatchObject({
      sequence: last_seq,
      id: `payment.7.${delivery.storedAt.getTime()}`,
      reason: 'tried-in-vain',
      detail: 'three times',
      firstError: 'the first',
      lastError: 'the last',
      message: { subject: 'payments.new', sequence: 7, deliveries: 4, storedAt: delivery.storedAt },
    });
    expect(Buffer.from(letter?.message.data ?? []).toString('latin1')).toBe('"\xff"');
    expect(letter?.message.headers).toEqual(delivery.headers);
    expect(letter?.message.header('traceparent')).toBe('00-1');
  });

  test('that somebody published by hand can be read too', async () => {
    const hdrs = newHeaders();
    hdrs.set('Paystream-Deliveries', 'many');
    const { seq } = await broker.admin
      .jetstream()
      .publish('dead-letters.payments.new', 'x', { headers: hdrs });

    const letter = await letters().get(seq);

    expect(letter).toMatchObject({ reason: 'unknown', detail: '', firstError: undefined });
    expect(letter?.message).toMatchObject({ subject: 'payments.new', sequence: seq, deliveries: 1 });
    expect(letter?.id).toMatch(new RegExp(`^payment-dead-letters\\.${seq}\\.`));
  });

  test('is taken out once, and a second time is no error', async () => {
    const sequence = await putAside();

    await letters().remove(sequence);
    await letters().remove(sequence);

    expect(await letters().get(sequence)).toBeUndefined();
    expect(await letters().get(sequence + 100)).toBeUndefined();
  });
});

describe('dead letters are found', () => {
  test('in their order, page by page, with gaps where some were taken out', async () => {
    const all: number[] = [];
    for (let index = 0; index < 5; index += 1) all.push(await putAside());
    const [first = 0, gone = 0, third, fourth, fifth] = all;
    await letters().remove(gone);

    const page = await found({}, { limit: 2 });
    const rest = await found({}, { limit: 2, after: page.next ?? 0 });
    const end = await found({}, { limit: 2, after: rest.next ?? 0 });

    expect(page).toEqual({ sequences: [first, third], next: third });
    expect(rest).toEqual({ sequences: [fourth, fifth], next: fifth });
    expect(end).toEqual({ sequences: [], next: undefined });
  });

  test('by reason and by action', async () => {
    const bytes = await putAside({ reason: 'not-utf8' });
    const update = await putAside({ reason: 'not-utf8', subject: 'payments.update' });
    const unknown = await putAside({ subject: 'payments.no-such-action' });

    expect((await found({ reason: 'not-utf8' })).sequences).toEqual([bytes, update]);
    expect((await found({ action: 'UPDATE' })).sequences).toEqual([update]);
    expect((await found({ action: 'UNKNOWN' })).sequences).toEqual([unknown]);
    expect((await found({ reason: 'not-utf8', action: 'NEW' })).sequences).toEqual([bytes]);
    expect(await found({ reason: 'no-such-reason' })).toEqual({ sequences: [], next: undefined });
  });

  test('by the time at which they were put aside, without looking at all before it', async () => {
    const all: number[] = [];
    for (let index = 0; index < 20; index += 1) all.push(await putAside());
    const at = async (sequence = 0) => (await letters().get(sequence))?.deadAt ?? new Date(0);
    const [from, to] = [await at(all[12]), await at(all[16])];
    await letters().remove(all[13] ?? 0);

    const { sequences, next } = await found({ from, to }, { lookAtMax: 20 });

    const inTime = await Promise.all(all.map(at));
    const expected = all.filter(
      (_sequence, index) =>
        index !== 13 && (inTime[index] ?? new Date(0)) >= from && (inTime[index] ?? to) < to,
    );
    expect(sequences).toEqual(expected);
    expect(next).toBeUndefined();
    expect((await found({ from: new Date(Date.now() + 60_000) })).sequences).toEqual([]);
  });

  test('by looking at no more than so many', async () => {
    await putAside();
    const second = await putAside();
    const wanted = await putAside({ reason: 'not-utf8' });

    const page = await found({ reason: 'not-utf8' }, { lookAtMax: 2 });

    expect(page).toEqual({ sequences: [], next: second });
    expect((await found({ reason: 'not-utf8' }, { after: second })).sequences).toEqual([wanted]);
  });
});

test('a broker that does not answer, or has no such stream, is told as such', async () => {
  await broker.manager.streams.delete(stream);
  await expect(
    letters().find({ filter: { from: new Date() }, after: 0, limit: 1, lookAtMax: 1 }),
  ).rejects.toThrow(DeadLettersUnavailable);
  await broker.server.stop();
  await expect(letters().get(1)).rejects.toThrow(DeadLettersUnavailable);
});
