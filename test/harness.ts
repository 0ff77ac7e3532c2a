import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  freePort,
  type NatsServer,
  openSourcesFile,
  resolveServers,
  type Service,
  startNatsServer,
  startService,
} from '@paystream/local';
import { connect, type NatsConnection } from 'nats';

/** A throw-away folder, removed by `close`. */
export function throwAwayFolder(name: string): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), `paystream-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Looks again until it is so; fails with the last thing seen. */
export async function eventually<T>(
  look: () => Promise<T> | T,
  { within = 10_000, every = 20, until }: { within?: number; every?: number; until: (seen: T) => boolean },
): Promise<T> {
  const deadline = performance.now() + within;
  for (;;) {
    const seen = await look();
    if (until(seen)) return seen;
    if (performance.now() > deadline)
      throw new Error(`not within ${within} ms; last seen: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** The run's mongod, with a database that no other test uses. */
export function testMongoUri(): string {
  const uri = process.env.TEST_MONGO_URI;
  if (uri === undefined) throw new Error('run the tests with: npm run jest');
  const url = new URL(uri);
  url.pathname = `/test-${randomUUID()}`;
  return url.toString();
}

/** The whole system as real processes: a broker of its own, and as many services as a test starts, as they are built. */
export interface System {
  broker: NatsServer;
  mongoUri: string;
  startGateway(env?: Record<string, string>): Promise<Service>;
  startPayments(env?: Record<string, string>): Promise<Service>;
  /** Stops the broker by the signal and starts it again with its data and port. */
  restartBroker(signal?: NodeJS.Signals): Promise<void>;
  /** A connection of the test's own. */
  nats(): Promise<NatsConnection>;
  close(): Promise<void>;
}

export async function startSystem(): Promise<System> {
  // First, since it fails when the run has no database, and then nothing must be left behind.
  const mongoUri = testMongoUri();
  const folder = throwAwayFolder('system');
  const binary = (await resolveServers()).natsServer;
  let broker = await startNatsServer({ binary, storeDir: folder.path });
  const services: Service[] = [];
  const connections: NatsConnection[] = [];

  const start = async (name: string, entry: string, env: Record<string, string>) => {
    const service = startService({
      name,
      entry,
      env: {
        PORT: String(await freePort()),
        NATS_URI: broker.uri,
        PROVISION: 'true',
        BROKER_SYNC: 'always',
        ...env,
      },
    });
    services.push(service);
    return service;
  };

  return {
    get broker() {
      return broker;
    },
    mongoUri,
    startGateway: (env = {}) =>
      start('gateway', 'third-party-gateway/dist/main.js', { SOURCES_FILE: openSourcesFile, ...env }),
    startPayments: (env = {}) =>
      start('payments', 'payment-service/dist/main.js', { MONGO_URI: mongoUri, ...env }),
    restartBroker: async (signal = 'SIGTERM') => {
      await broker.stop(signal);
      broker = await startNatsServer({ binary, storeDir: folder.path, port: broker.port });
    },
    nats: async () => {
      const connection = await connect({ servers: broker.uri, maxReconnectAttempts: -1 });
      connections.push(connection);
      return connection;
    },
    close: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
      await Promise.all(services.map((service) => service.stop()));
      await broker.stop();
      folder.remove();
    },
  };
}

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the body is what the test asserts
  body: any;
  headers: Headers;
  ms: number;
}

async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const startedAt = performance.now();
  const response = await fetch(url, init);
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  return {
    status: response.status,
    body: isJson ? JSON.parse(text) : text,
    headers: response.headers,
    ms: performance.now() - startedAt,
  };
}

/** Whatever listens: a process of ours, or an app in this one. */
type Addressed = { url: string | undefined };

export function get(service: Addressed, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return call(`${service.url}${path}`, { headers });
}

/** Sends one webhook; `body` as it is when it is text or bytes. */
export function post(
  service: Addressed,
  body: unknown,
  { headers = {}, path = '/webhooks/x-payment' }: { headers?: Record<string, string>; path?: string } = {},
): Promise<Answer> {
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  return call(`${service.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: raw ? body : JSON.stringify(body),
  });
}

/** Sends the same request twice: every request that changes something is tested with both answers. */
export async function twice(request: () => Promise<Answer>): Promise<[Answer, Answer]> {
  return [await request(), await request()];
}

type WebhookBody = { txId: string; action: string; amount: number; note: string };

/** An `x-payment` body; each call a new transaction unless told otherwise. Takes wrong values too. */
export function webhook<Fields extends Record<string, unknown> = Record<never, never>>(
  fields?: Fields,
): Omit<WebhookBody, keyof Fields> & Fields {
  const body: WebhookBody = { txId: randomUUID(), action: 'NEW', amount: 1_250, note: 'order' };
  return Object.assign(body, fields);
}

/** Resolves when nothing waits to be applied, set aside or not: whatever was sent has had its effect. */
export async function untilQuiet(system: System): Promise<void> {
  const manager = await (await system.nats()).jetstreamManager();
  const waiting = async () => {
    const streams = await Promise.all(
      ['payment', 'payment-backlog'].map((name) => manager.streams.info(name)),
    );
    return streams.reduce((sum, { state }) => sum + state.messages, 0);
  };
  await eventually(waiting, { within: 30_000, until: (messages) => messages === 0 });
}
