import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { type JetStreamManager, nanos } from 'nats';
import type { TransactionStore } from '../payment-service/src/store.ts';
import { openStore } from '../payment-service/src/testing/fixture.ts';
import { eventually, post, type System, startSystem, webhook } from './harness.ts';

let system: System;
let manager: JetStreamManager;
let store: TransactionStore;

beforeAll(async () => {
  system = await startSystem();
  const gateway = await system.startGateway();
  await gateway.ready();
  await gateway.stop();
  manager = await (await system.nats()).jetstreamManager();
  // What a dead process held comes again after 2 s, where it would be 30.
  const ackWait = { ack_wait: nanos(2_000) };
  await manager.consumers.update('payment', 'payment-consumer', ackWait);
  await manager.consumers.update('payment-backlog', 'payment-backlog-consumer', ackWait);
  store = await openStore(system.mongoUri);
});
afterAll(async () => {
  await store.close();
  await system.close();
});

const messagesIn = async (stream: string) => (await manager.streams.info(stream)).state.messages;
/** What waits to be applied: live, or as a backlog by the time a process is there again. */
const waiting = async () => (await messagesIn('payment')) + (await messagesIn('payment-backlog'));
const untilApplied = () => eventually(waiting, { within: 20_000, until: (count) => count === 0 });

/** Resolves when it has died where it was told to. */
async function died(service: Service, point: string): Promise<void> {
  expect(await service.exited).toEqual({ code: null, signal: 'SIGKILL' });
  const told = (line: string) => line.includes('crash-point.reached');
  const lines = await eventually(() => [...service.lines], { until: (seen) => seen.some(told) });
  expect(lines.filter(told).map((line) => JSON.parse(line).point)).toEqual([point]);
}

/** A payment-service that does not die applies what waits. */
async function applyAll(): Promise<void> {
  const payments = await system.startPayments();
  await untilApplied();
  await payments.stop();
}
const historyOf = async (txId: string) => (await store.findTransaction(txId))?.actionHistory;

describe('a gateway that dies', () => {
  test.each([
    { point: 'before-publish', stored: 0, duplicate: false },
    { point: 'after-publish-ack', stored: 1, duplicate: true },
  ])('at $point has answered nobody, and the webhook sent again has one effect', async (expected) => {
    const { point, stored, duplicate } = expected;
    const dying = await system.startGateway({ CRASH_AT: point });
    await dying.ready();
    const body = webhook();

    await expect(post(dying, body)).rejects.toThrow();
    await died(dying, point);
    const storedByThen = await messagesIn('payment');
    const next = await system.startGateway();
    await next.ready();
    const again = await post(next, body);
    await next.stop();

    expect(storedByThen).toBe(stored);
    expect(again).toMatchObject({ status: 200, body: { duplicate } });
    await applyAll();
    expect(await historyOf(body.txId)).toHaveLength(1);
  });
});

describe('a payment-service that dies', () => {
  const publish = async (body: string) => {
    await (await system.nats()).jetstream().publish('payments.new', body);
  };
  const dyingAt = async (point: string) => {
    const dying = await system.startPayments({ CRASH_AT: point });
    await died(dying, point);
  };

  test.each([
    { point: 'before-write', written: undefined },
    { point: 'after-write-before-ack', written: 1 },
  ])('at $point applies the message once when it comes again', async ({ point, written }) => {
    const event = webhook();
    await publish(JSON.stringify(event));

    await dyingAt(point);
    const leftByThen = await waiting();
    const writtenByThen = (await historyOf(event.txId))?.length;
    await applyAll();

    expect(leftByThen).toBe(1);
    expect(writtenByThen).toBe(written);
    expect(await historyOf(event.txId)).toHaveLength(1);
  });

  test('at between-dead-letter-and-term leaves one dead letter', async () => {
    const before = await messagesIn('payment-dead-letters');
    await publish('nonsense');

    await dyingAt('between-dead-letter-and-term');
    const leftByThen = await waiting();
    const lettersByThen = await messagesIn('payment-dead-letters');
    await applyAll();

    expect(leftByThen).toBe(1);
    expect(lettersByThen).toBe(before + 1);
    expect(await messagesIn('payment-dead-letters')).toBe(before + 1);
  });
});

test('an unknown place is refused at the start', async () => {
  const service = await system.startPayments({ CRASH_AT: 'somewhere' });

  expect(await service.exited).toEqual({ code: 1, signal: null });
  expect(service.lines.join('\n')).toContain('CRASH_AT: must be one of before-publish');
});
