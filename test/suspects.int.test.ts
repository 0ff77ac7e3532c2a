import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { type JetStreamManager, type JsMsg, type NatsConnection, nanos } from 'nats';
import type { TransactionStore } from '../payment-service/src/store.ts';
import { openStore } from '../payment-service/src/testing/fixture.ts';
import { eventually, get, type System, startSystem, throwAwayFolder } from './harness.ts';

let system: System;
let nats: NatsConnection;
let manager: JetStreamManager;
let store: TransactionStore;
const running: Service[] = [];
const folder = throwAwayFolder('poison');

// What a parser with a bug does: the process is gone in the middle of its work. Only here, around JSON.parse.
const poison = 'kills whoever reads it';
const deadly = join(folder.path, 'deadly.mjs');
writeFileSync(
  deadly,
  `const { parse } = JSON;
JSON.parse = (text, ...more) => {
  if (String(text).includes('${poison}')) process.kill(process.pid, 'SIGKILL');
  return parse(text, ...more);
};`,
);

beforeAll(async () => {
  system = await startSystem();
  const gateway = await system.startGateway();
  await gateway.ready();
  await gateway.stop();
  nats = await system.nats();
  manager = await nats.jetstreamManager();
  // What a dead process held comes again after 2 s, where it would be 30.
  const ackWait = { ack_wait: nanos(2_000) };
  await manager.consumers.update('payment', 'payment-consumer', ackWait);
  await manager.consumers.update('payment-backlog', 'payment-backlog-consumer', ackWait);
  store = await openStore(system.mongoUri);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.stop()));
  for (const stream of ['payment', 'payment-backlog', 'payment-dead-letters'])
    await manager.streams.purge(stream);
});
afterAll(async () => {
  await store.close();
  await system.close();
  folder.remove();
});

const messagesIn = async (stream: string) => (await manager.streams.info(stream)).state.messages;

const eventOf = (txId: string, note: string) =>
  JSON.stringify({ txId, action: 'NEW', amount: 100, note, eventId: txId });

async function publish(subject: string, bodies: readonly string[]): Promise<void> {
  for (let start = 0; start < bodies.length; start += 250) {
    const part = bodies.slice(start, start + 250);
    await Promise.all(part.map((body) => nats.jetstream().publish(subject, body)));
  }
}

/** As ten processes that took all of them and died. */
async function handOutTenTimes(stream: string, consumer: string, count: number): Promise<void> {
  const pulling = await nats.jetstream().consumers.get(stream, consumer);
  for (let round = 1; round <= 10; round += 1) {
    const inHand: JsMsg[] = [];
    while (inHand.length < count) {
      for await (const message of await pulling.fetch({
        max_messages: count - inHand.length,
        expires: 1_000,
      }))
        inHand.push(message);
    }
    for (const message of inHand) message.nak();
    await nats.flush();
    expect(new Set(inHand.map(({ info }) => info.redeliveryCount))).toEqual(new Set([round]));
  }
}

/** Starts a payment-service again whenever it died, until the stream is empty, and counts the deaths. */
async function superviseUntilEmpty(stream: string, env: Record<string, string>): Promise<number> {
  let deaths = 0;
  const state = { over: false };
  const supervise = async () => {
    while (!state.over) {
      const service = await system.startPayments({ NODE_OPTIONS: `--import ${deadly}`, ...env });
      running.push(service);
      const { signal } = await service.exited;
      if (signal === 'SIGKILL') deaths += 1;
    }
  };
  const supervising = supervise();
  await eventually(() => messagesIn(stream), { within: 45_000, until: (count) => count === 0 });
  state.over = true;
  await running.at(-1)?.stop();
  await supervising;
  return deaths;
}

async function onlyDeadLetter() {
  const { messages, first_seq } = (await manager.streams.info('payment-dead-letters')).state;
  expect(messages).toBe(1);
  return manager.streams.getMessage('payment-dead-letters', { seq: first_seq });
}

test.each([
  {
    way: 'live',
    stream: 'payment',
    consumer: 'payment-consumer',
    subject: 'payments.new',
    innocents: 1_000,
    env: { REPLAY_MODE: 'instant' },
  },
  {
    way: 'replayed',
    stream: 'payment-backlog',
    consumer: 'payment-backlog-consumer',
    subject: 'backlog.payments.new',
    innocents: 20,
    env: { REPLAY_MAX_GAP: '10ms' },
  },
])(
  'a $way message that kills the process is put aside, and those in hand with it are applied once',
  async ({ stream, consumer, subject, innocents, env }) => {
    const txIds = Array.from({ length: innocents }, () => randomUUID());
    const bodies = txIds.map((txId) => eventOf(txId, 'innocent'));
    const bad = eventOf(randomUUID(), poison);
    await publish(subject, [...bodies.slice(0, innocents / 2), bad, ...bodies.slice(innocents / 2)]);
    await handOutTenTimes(stream, consumer, innocents + 1);

    const deaths = await superviseUntilEmpty(stream, env);

    const letter = await onlyDeadLetter();
    expect(letter.string()).toBe(bad);
    expect(letter.header.get('Paystream-Reason')).toBe('tried-in-vain');
    expect(letter.header.get('Paystream-First-Error')).toMatch(/process ended/);
    expect(letter.header.get('Paystream-Last-Error')).toMatch(/process ended/);
    expect(deaths).toBe(3);
    const records = await store.readRecords(txIds);
    expect([...records.values()].map(({ actionHistory }) => actionHistory.length)).toEqual(
      Array(innocents).fill(1),
    );
  },
);

test('a full stream of dead letters leaves the message where it is, and readiness says so', async () => {
  await manager.streams.update('payment-dead-letters', { max_msgs: 1 });
  await nats.jetstream().publish('dead-letters.payments.new', 'full');
  await publish('payments.new', ['not an event']);
  const service = await system.startPayments({ PREFLIGHT: 'warn' });
  running.push(service);

  const red = await eventually(() => get(service, '/readyz').catch(() => undefined), {
    until: (answer) => answer?.body.parts.deadLetters.ok === false,
  });

  expect(red?.status).toBe(503);
  expect((await messagesIn('payment')) + (await messagesIn('payment-backlog'))).toBe(1);

  await manager.streams.update('payment-dead-letters', { max_msgs: -1 });
  await eventually(() => messagesIn('payment-dead-letters'), { until: (count) => count === 2 });
  await eventually(() => get(service, '/readyz'), { until: ({ status }) => status === 200 });
});
