import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  freePort,
  type Running,
  resolveServers,
  startMongod,
  startNatsServer,
  startService,
} from '@paystream/local';
import { createMember, type Member } from './member.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

export const gatewayNames = ['gateway-1', 'gateway-2'] as const;
export const paymentsNames = ['payments-1', 'payments-2'] as const;
export const memberNames = [...gatewayNames, ...paymentsNames, 'broker', 'database'] as const;
export type MemberName = (typeof memberNames)[number];

/** From whom to whom. Each has a proxy of its own. */
export const linkNames = [
  ...gatewayNames.flatMap((name) => [`sender-${name}`, `${name}-broker`] as const),
  ...paymentsNames.flatMap((name) => [`${name}-broker`, `${name}-database`] as const),
] as const;
export type LinkName = (typeof linkNames)[number];

/** The whole system as real processes, with a proxy on every link between them. */
export interface System {
  members: Readonly<Record<MemberName, Member>>;
  links: Readonly<Record<LinkName, TcpProxy>>;
  /** Past the proxies, for whoever looks on. */
  natsUri: string;
  mongoUri: string;
  /** The services' own addresses, by name. */
  serviceUrls: ReadonlyMap<string, string>;
  /** Where the sender sends to, by name of the gateway. */
  webhookUrls: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

export interface SystemOptions {
  onLine: (service: string, line: string) => void;
  onCrash: (process: string, how: string) => void;
}

const listensWithinMs = 30_000;
// One command of the server's own that makes it fail others; for tests only, hence the word.
const failpointArgs = ['--setParameter', 'enableTestCommands=1'];

/** Resolves when everything listens. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const folder = mkdtempSync(join(tmpdir(), 'paystream-chaos-'));
  // Last started, first stopped.
  const ends: (() => Promise<unknown>)[] = [
    async () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  ];
  const close = async () => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  const started = async (name: string, launch: (env: Record<string, string>) => Promise<Running>) => {
    const member = createMember({ name, launch, onCrash: (how) => options.onCrash(name, how) });
    ends.push(() => member.close());
    await member.start();
    return member;
  };
  const proxied = async (port: number) => {
    const proxy = await startTcpProxy(port);
    ends.push(() => proxy.close());
    return proxy;
  };
  try {
    return await startAll({ folder, options, started, proxied, close });
  } catch (error) {
    await close();
    throw error;
  }
}

interface Starting {
  folder: string;
  options: SystemOptions;
  started: (name: string, launch: (env: Record<string, string>) => Promise<Running>) => Promise<Member>;
  proxied: (port: number) => Promise<TcpProxy>;
  close: () => Promise<void>;
}

async function startAll({ folder, options, started, proxied, close }: Starting): Promise<System> {
  const binaries = resolveServers();
  const [natsPort, mongoPort] = [await freePort(), await freePort()];
  const broker = await started('broker', () =>
    startNatsServer({ binary: binaries.natsServer, port: natsPort, storeDir: join(folder, 'nats') }),
  );
  const database = await started('database', () =>
    startMongod({
      binary: binaries.mongod,
      port: mongoPort,
      dataDir: join(folder, 'mongo'),
      args: failpointArgs,
    }),
  );
  const natsUri = `nats://127.0.0.1:${natsPort}`;
  const mongoUriAt = (port: number) =>
    `mongodb://127.0.0.1:${port}/chaos?replicaSet=rs0&directConnection=true`;
  const urls = new Map<string, string>();

  const gateway = async (name: (typeof gatewayNames)[number]) => {
    const port = await freePort();
    const [toBroker, fromSender] = [await proxied(natsPort), await proxied(port)];
    urls.set(name, `http://127.0.0.1:${port}`);
    const env = { PORT: String(port), NATS_URI: `nats://127.0.0.1:${toBroker.port}` };
    const member = await started(name, (more) =>
      launchService(name, 'third-party-gateway', { ...env, ...more }, options),
    );
    return { member, toBroker, fromSender };
  };
  const payments = async (name: (typeof paymentsNames)[number]) => {
    const port = await freePort();
    const [toBroker, toDatabase] = [await proxied(natsPort), await proxied(mongoPort)];
    urls.set(name, `http://127.0.0.1:${port}`);
    const env = {
      PORT: String(port),
      NATS_URI: `nats://127.0.0.1:${toBroker.port}`,
      MONGO_URI: mongoUriAt(toDatabase.port),
    };
    const member = await started(name, (more) =>
      launchService(name, 'payment-service', { ...env, ...more }, options),
    );
    return { member, toBroker, toDatabase };
  };
  const [gateway1, gateway2] = [await gateway('gateway-1'), await gateway('gateway-2')];
  const [payments1, payments2] = [await payments('payments-1'), await payments('payments-2')];
  return {
    members: {
      broker,
      database,
      'gateway-1': gateway1.member,
      'gateway-2': gateway2.member,
      'payments-1': payments1.member,
      'payments-2': payments2.member,
    },
    links: {
      'sender-gateway-1': gateway1.fromSender,
      'sender-gateway-2': gateway2.fromSender,
      'gateway-1-broker': gateway1.toBroker,
      'gateway-2-broker': gateway2.toBroker,
      'payments-1-broker': payments1.toBroker,
      'payments-2-broker': payments2.toBroker,
      'payments-1-database': payments1.toDatabase,
      'payments-2-database': payments2.toDatabase,
    },
    natsUri,
    mongoUri: mongoUriAt(mongoPort),
    serviceUrls: urls,
    webhookUrls: new Map([
      ['gateway-1', `http://127.0.0.1:${gateway1.fromSender.port}/webhooks/x-payment`],
      ['gateway-2', `http://127.0.0.1:${gateway2.fromSender.port}/webhooks/x-payment`],
    ]),
    close,
  };
}

/** Resolves when it listens: whether it is ready is what is measured after a fault. */
async function launchService(
  name: string,
  workspace: string,
  env: Record<string, string>,
  { onLine }: SystemOptions,
): Promise<Running> {
  const service = startService({
    name,
    entry: `${workspace}/src/main.ts`,
    env: { PROVISION: 'true', BROKER_SYNC: 'always', ...env },
    onLine: (line) => onLine(name, line),
  });
  let ended = false;
  void service.exited.then(() => {
    ended = true;
  });
  const deadline = performance.now() + listensWithinMs;
  while (!(await isUp(`${service.url}/healthz`))) {
    if (performance.now() > deadline) await service.kill();
    // The supervisor hears of it too.
    if (ended) break;
    await sleep(20);
  }
  return service;
}

/** Whether it answers 200. */
export async function isUp(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch {
    return false;
  }
}
