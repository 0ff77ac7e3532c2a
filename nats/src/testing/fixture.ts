import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsServer, resolveServer, startNatsServer } from '@paystream/local';
import { createLog } from '@paystream/runtime';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import { type BrokerConnection, connectBroker } from '../connection.ts';
import { identify, type PaymentEvent, type UnidentifiedEvent } from '../messages.ts';

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
