import { randomUUID } from 'node:crypto';
import { type NatsServer, resolveServers, startNatsServer } from '@paystream/local';
import {
  type BrokerConnection,
  connectBroker,
  createSubscription,
  encodeEvent,
  identify,
  type PaymentEvent,
  provision,
  type SubscriptionOptions,
  subjectOf,
  type UnidentifiedEvent,
} from '@paystream/nats';
import { throwAwayFolder } from '../../../test/harness.ts';
import { createApply } from '../apply.ts';
import { type Consumer, createConsumer } from '../consumer.ts';
import { createDecide } from '../decide.ts';
import type { TransactionStore } from '../store.ts';
import type { SuspectStore } from '../suspects.ts';
import type { WebhookStore } from '../webhook-store.ts';
import { collectLog } from './fixture.ts';
import { createMemorySuspects } from './memory-suspects.ts';
import { createMemoryWebhookStore } from './memory-webhook-store.ts';

export interface TestBroker {
  server: NatsServer;
  connection: BrokerConnection;
  /** Publishes each as the gateway would, and resolves when the stream has them. */
  publish(...events: PaymentEvent[]): Promise<void>;
  publishBytes(subject: string, data: string | Uint8Array): Promise<void>;
  /** What the work queue still holds, and how much of it is in somebody's hand. */
  left(): Promise<{ messages: number; inHand: number; redelivered: number }>;
  close(): Promise<void>;
}

/** A broker of the test's own, with streams and consumer. */
export async function startTestBroker(): Promise<TestBroker> {
  const folder = throwAwayFolder('broker');
  const server = await startNatsServer({ binary: resolveServers().natsServer, storeDir: folder.path });
  const connection = connectBroker({ uri: server.uri, name: 'test', log: collectLog().log });
  const client = await connection.whenUp(AbortSignal.timeout(10_000));
  await provision(client, { mode: 'create' });
  const manager = await client.jetstreamManager();
  const stream = await manager.streams.find(subjectOf('NEW'));
  const [consumer] = await manager.consumers.list(stream).next();
  if (consumer === undefined) throw new Error('there is no consumer');

  const publishBytes = async (subject: string, data: string | Uint8Array) =>
    void (await client.jetstream().publish(subject, data));
  return {
    server,
    connection,
    publish: async (...events) => {
      // Not all at once: the client has one timer for each.
      for (let start = 0; start < events.length; start += 500) {
        const messages = events.slice(start, start + 500).map((event) => encodeEvent(event));
        await Promise.all(messages.map(({ subject, data }) => publishBytes(subject, data)));
      }
    },
    publishBytes,
    left: async () => {
      const { state } = await manager.streams.info(stream);
      const { num_ack_pending, num_redelivered } = await manager.consumers.info(stream, consumer.name);
      return { messages: state.messages, inHand: num_ack_pending, redelivered: num_redelivered };
    },
    close: async () => {
      await connection.close();
      await server.stop();
      folder.remove();
    },
  };
}

export interface TestConsumer {
  consumer: Consumer;
  lines: Record<string, unknown>[];
  said(message: string): number;
  /** How often the store was called. */
  calls: { readRecords: number; writeChanges: number };
  stop(): Promise<void>;
}

/** A consumer in this process, as `main.ts` puts it together. */
export function startConsumer(
  broker: TestBroker,
  {
    store,
    suspects = createMemorySuspects(),
    webhooks = createMemoryWebhookStore(),
    retryDelay,
    running = true,
  }: {
    store: TransactionStore;
    suspects?: SuspectStore;
    webhooks?: WebhookStore;
    /** In the place of seconds. */
    retryDelay?: SubscriptionOptions['retryDelay'];
    running?: boolean;
  },
): TestConsumer {
  const { log, lines, said } = collectLog();
  const calls = { readRecords: 0, writeChanges: 0 };
  const counted: TransactionStore = {
    ...store,
    readRecords: (...args) => {
      calls.readRecords += 1;
      return store.readRecords(...args);
    },
    writeChanges: (...args) => {
      calls.writeChanges += 1;
      return store.writeChanges(...args);
    },
  };
  const subscription = createSubscription({
    broker: broker.connection,
    log,
    ...(retryDelay === undefined ? {} : { retryDelay }),
  });
  const now = () => new Date();
  const decide = createDecide({ store: counted, webhooks, now });
  const consumer = createConsumer({
    subscription,
    apply: createApply({ decide, suspects, log, now }).apply,
    store: counted,
    log,
  });
  const pulling = subscription.run();
  const working = running ? consumer.run() : Promise.resolve();
  return {
    consumer,
    lines,
    said,
    calls,
    stop: async () => {
      await consumer.stop();
      await Promise.all([pulling, working]);
    },
  };
}

/** An event as the gateway publishes it; another transaction each time unless told otherwise. */
export function sentEvent(said: Partial<UnidentifiedEvent> = {}): PaymentEvent {
  const receivedAt = new Date().toISOString();
  return identify({
    txId: randomUUID(),
    action: 'NEW',
    amount: 100,
    note: 'sent',
    source: 'x-payment',
    receivedAt,
    ...said,
  }).event;
}
