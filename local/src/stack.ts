import { join } from 'node:path';
import { type Kept, keepRunning } from './keep-running.ts';
import { startMongod } from './mongod.ts';
import { startNatsServer } from './nats-server.ts';
import { resolveServer } from './resolve-servers.ts';
import { type Service, startService } from './service.ts';
import { openSourcesFile } from './sources.ts';

export type StackOptions = {
  gatewayPort: number;
  paymentPort: number;
  natsPort: number;
  mongoPort: number;
  dataDir: string;
  /** Given: that server is used and none is started. */
  natsUri?: string | undefined;
  mongoUri?: string | undefined;
  /** For both services, besides what is set here. */
  env?: Record<string, string | undefined>;
  /** What a person should know. */
  say: (line: string) => void;
  /** What the services log. */
  onLine?: (service: string, line: string) => void;
};

export type Stack = {
  gatewayUrl: string;
  paymentUrl: string;
  natsUri: string;
  mongoUri: string;
  /** Resolves when both services are ready; rejects with the reason, and then `stop` is still due. */
  start(): Promise<void>;
  /** Stops the payment-service alone, as an outage would, until it is started again. */
  stopPayments(): Promise<void>;
  /** Resolves when it is ready. */
  startPayments(): Promise<void>;
  /** At any time, in order: the services, then the servers. Quiet after a failure, whose reason is to stand alone. */
  stop(options?: { quiet?: boolean }): Promise<void>;
};

const READY_WITHIN_MS = 60_000;
const HOST = '127.0.0.1';

/** All of Paystream on one machine, each part started again when it dies. */
export function createStack(options: StackOptions): Stack {
  const { gatewayPort, paymentPort, natsPort, mongoPort } = options;
  const addresses = {
    gatewayUrl: `http://${HOST}:${gatewayPort}`,
    paymentUrl: `http://${HOST}:${paymentPort}`,
    natsUri: options.natsUri ?? `nats://${HOST}:${natsPort}`,
    mongoUri:
      options.mongoUri ?? `mongodb://${HOST}:${mongoPort}/paystream?replicaSet=rs0&directConnection=true`,
  };
  const servers = createServers(options);
  const { gateway, createPayments } = createServices(options, addresses);
  let payments = createPayments();
  let stopping = false;

  async function start(): Promise<void> {
    // One after the other: mongod refuses a folder that is in use, and so guards the broker's folder beside it.
    for (const server of servers) {
      if (!stopping) await server.start();
    }
    if (!stopping) await Promise.all([gateway.start(), payments.start()]);
  }

  async function startPayments(): Promise<void> {
    await payments.stop();
    if (stopping) return;
    // What was stopped stays stopped; this is a new one with the same settings.
    payments = createPayments();
    await payments.start();
  }

  async function stop({ quiet = false } = {}): Promise<void> {
    const say = quiet ? () => {} : options.say;
    stopping = true;
    say('Stopping the services.');
    await Promise.all([gateway.stop(), payments.stop()]);
    if (servers.length > 0) say('Stopping the servers.');
    await Promise.all(servers.map((server) => server.stop()));
  }

  return { ...addresses, start, startPayments, stopPayments: () => payments.stop(), stop };
}

function createServers({ natsUri, mongoUri, natsPort, mongoPort, dataDir, say }: StackOptions): Kept[] {
  const servers: Kept[] = [];
  if (mongoUri === undefined) {
    const binary = resolveServer('mongod');
    const launch = () => startMongod({ binary, port: mongoPort, dataDir: join(dataDir, 'mongo') });
    servers.push(keepRunning({ name: 'mongod', launch, say }));
  }
  if (natsUri === undefined) {
    const binary = resolveServer('nats-server');
    const launch = () => startNatsServer({ binary, port: natsPort, storeDir: join(dataDir, 'nats') });
    servers.push(keepRunning({ name: 'nats-server', launch, say }));
  }
  return servers;
}

function createServices(
  options: StackOptions,
  { natsUri, mongoUri }: { natsUri: string; mongoUri: string },
): { gateway: Kept; createPayments: () => Kept } {
  const shared = {
    ...definedOnly(options.env ?? {}),
    HOST,
    NATS_URI: natsUri,
    PROVISION: 'true',
    // Our own broker is started with it; about another one we cannot know.
    ...(options.natsUri === undefined ? { BROKER_SYNC: 'always' } : {}),
  };
  const gateway = {
    name: 'third-party-gateway',
    label: 'gateway',
    env: { SOURCES_FILE: openSourcesFile, ...shared, PORT: String(options.gatewayPort) },
  };
  const payments = {
    name: 'payment-service',
    label: 'payments',
    env: { ...shared, PORT: String(options.paymentPort), MONGO_URI: mongoUri },
  };
  return {
    gateway: createService(options, gateway),
    createPayments: () => createService(options, payments),
  };
}

type ServiceSpec = { name: string; label: string; env: Record<string, string> };

function createService({ say, onLine }: StackOptions, { name, label, env }: ServiceSpec): Kept {
  return keepRunning<Service>({
    name,
    say,
    launch: () =>
      startService({ name, entry: `${name}/src/main.ts`, env, onLine: (line) => onLine?.(label, line) }),
    ready: (service) => service.ready({ withinMs: READY_WITHIN_MS }),
  });
}

function definedOnly(env: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || name === 'MONGO_URI' ? [] : [[name, value]],
    ),
  );
}
