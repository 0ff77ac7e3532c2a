import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsServer, resolveServer, startNatsServer } from '@paystream/local';
import { createLog } from '@paystream/runtime';
import { AckPolicy, connect, type JetStreamManager, type NatsConnection, nanos } from 'nats';
import { type BrokerConnection, connectBroker } from '../connection.ts';
import { encodeEvent, identify, type PaymentEvent, type UnidentifiedEvent } from '../messages.ts';
import type { RefusedWebhook } from '../refused-webhook.ts';
import { type WorkQueueName, workQueues } from '../streams.ts';
import type { Delivery, Subscription } from '../subscription.ts';

export const log = createLog({ name: 'test', level: 'silent' });

export interface TestBroker {
  server: NatsServer;
  uri: string;
  admin: NatsConnection;
  manager: JetStreamManager;
  /** A connection as a service makes it, closed with the broker. */
  join(name?: string): BrokerConnection;
  /** The same port and data again, after `server.kill()` or `server.stop()`. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

/** A real broker in a folder of its own. */
export async function startBroker(config = ''): Promise<TestBroker> {
  const storeDir = mkdtempSync(join(tmpdir(), 'paystream-nats-'));
  const binary = resolveServer('nats-server');
  const server = await startNatsServer({ binary, storeDir, config });
  const admin = await connect({ servers: server.uri, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const joined: BrokerConnection[] = [];
  const broker: TestBroker = {
    server,
    uri: server.uri,
    admin,
    manager: await admin.jetstreamManager({ checkAPI: false }),
    join: (name = 'test') => {
      const connection = connectBroker({ uri: server.uri, name, log });
      joined.push(connection);
      return connection;
    },
    startAgain: async () => {
      broker.server = await startNatsServer({ binary, storeDir, port: server.port, config });
      await until(() =>
        admin.rtt().then(
          () => true,
          () => false,
        ),
      );
    },
    stop: async () => {
      broker.server.resume();
      await Promise.all(joined.map((connection) => connection.close()));
      await admin.close();
      await broker.server.stop();
      rmSync(storeDir, { recursive: true, force: true });
    },
  };
  return broker;
}

/** Looks again and again until there is something, and fails when there is nothing in time. */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  { withinMs = 10_000 } = {},
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms: ${look}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The value and how long it took. */
export async function timed<T>(work: Promise<T>): Promise<{ value: T; ms: number }> {
  const began = performance.now();
  const value = await work;
  return { value, ms: performance.now() - began };
}

export const up = (broker: BrokerConnection) => broker.whenUp(AbortSignal.timeout(10_000));

/** An event as the gateway makes it; another transaction each time unless told. */
export function eventOf(said: Partial<UnidentifiedEvent> = {}): PaymentEvent {
  return identify({
    txId: randomUUID(),
    action: 'NEW',
    amount: 100,
    note: 'a test',
    source: 'x-payment',
    receivedAt: '2026-01-02T03:04:05.678Z',
    ...said,
  }).event;
}

/** A webhook as the gateway keeps it when it was refused. */
export function refusedOf(said: Partial<RefusedWebhook> = {}): RefusedWebhook {
  return {
    source: 'stripe',
    reason: 'signature-wrong',
    detail: '',
    receivedAt: new Date('2026-01-02T03:04:05.678Z'),
    headers: { 'stripe-signature': 't=1,v1=00' },
    body: Buffer.from([0, 255, 10, 123]),
    ...said,
  };
}

/** Events on `payment`, in this order. */
export async function publishEvents({ admin }: TestBroker, count = 1): Promise<PaymentEvent[]> {
  const events = Array.from({ length: count }, () => eventOf());
  const js = admin.jetstream();
  await Promise.all(
    events.map((event) => {
      const { subject, data, id } = encodeEvent(event);
      return js.publish(subject, data, { msgID: id });
    }),
  );
  return events;
}

export async function takeOne(subscription: Subscription): Promise<Delivery> {
  const [delivery] = await subscription.take(1);
  if (delivery === undefined) throw new Error('there was nothing');
  return delivery;
}

/** So many messages, however many takes it needs. */
export async function takeAll(subscription: Subscription, count: number): Promise<Delivery[]> {
  const taken: Delivery[] = [];
  while (taken.length < count) {
    const some = await subscription.take(count - taken.length);
    if (some.length === 0) throw new Error(`there were ${taken.length} of ${count}`);
    taken.push(...some);
  }
  return taken;
}

/** The consumer anew, with an ack wait that a test can wait for. */
export async function shortenAckWait(
  { manager }: TestBroker,
  { of = 'payment', toMs }: { of?: WorkQueueName; toMs: number },
): Promise<void> {
  const { stream, consumer } = workQueues[of];
  await manager.consumers.delete(stream, consumer);
  await manager.consumers.add(stream, {
    durable_name: consumer,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(toMs),
  });
}

/** What the broker says of a work queue: stored, waiting, in hand, and how often it has handed anything out. */
export async function countsOf({ manager }: TestBroker, of: WorkQueueName = 'payment') {
  const { stream, consumer } = workQueues[of];
  const { state } = await manager.streams.info(stream);
  const { num_pending, num_ack_pending, delivered } = await manager.consumers.info(stream, consumer);
  return {
    stored: state.messages,
    waiting: num_pending,
    inHand: num_ack_pending,
    handedOut: delivered.consumer_seq,
  };
}
