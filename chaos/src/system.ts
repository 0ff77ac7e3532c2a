import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  freePort,
  openSourcesFile,
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
  /** Where the sender reaches them, through its proxies, in the order of their names. */
  gatewayUrls: readonly string[];
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
  const nats = { binary: binaries.natsServer, port: natsPort, storeDir: join(folder, 'nats') };
  const mongo = { binary: binaries.mongod, port: mongoPort, dataDir: join(folder, 'mongo') };
  const broker = await started('broker', () => startNatsServer(nats));
  const database = await started('database', () => startMongod({ ...mongo, args: failpointArgs }));

  const gateway = async (name: (typeof gatewayNames)[number]) => {
    const port = await freePort();
    const [toBroker, fromSender] = [await proxied(natsPort), await proxied(port)];
    const env = { PORT: String(port), NATS_URI: natsUriAt(toBroker.port), SOURCES_FILE: openSourcesFile };
    const launch = (more: Record<string, string>) =>
      launchService(name, 'third-party-gateway', { ...env, ...more }, options);
    return { url: urlAt(port), toBroker, fromSender, member: await started(name, launch) };
  };
  const payments = async (name: (typeof paymentsNames)[number]) => {
    const port = await freePort();
    const [toBroker, toDatabase] = [await proxied(natsPort), await proxied(mongoPort)];
    const env = {
      ...{ PORT: String(port), NATS_URI: natsUriAt(toBroker.port), MONGO_URI: mongoUriAt(toDatabase.port) },
    };
    const launch = (more: Record<string, string>) =>
      launchService(name, 'payment-service', { ...env, ...more }, options);
    return { url: urlAt(port), toBroker, toDatabase, member: await started(name, launch) };
  };
  const [g1, g2] = [await gateway('gateway-1'), await gateway('gateway-2')];
  const [p1, p2] = [await payments('payments-1'), await payments('payments-2')];
  const services = {
    'gateway-1': g1.member,
    'gateway-2': g2.member,
    'payments-1': p1.member,
    'payments-2': p2.member,
  };
  return {
    members: { broker, database, ...services },
    links: {
      ...{ 'sender-gateway-1': g1.fromSender, 'gateway-1-broker': g1.toBroker },
      ...{ 'sender-gateway-2': g2.fromSender, 'gateway-2-broker': g2.toBroker },
      ...{ 'payments-1-broker': p1.toBroker, 'payments-1-database': p1.toDatabase },
      ...{ 'payments-2-broker': p2.toBroker, 'payments-2-database': p2.toDatabase },
    },
    natsUri: natsUriAt(natsPort),
    mongoUri: mongoUriAt(mongoPort),
    serviceUrls: new Map(
      [...gatewayNames, ...paymentsNames].map((name, index) => [name, [g1, g2, p1, p2][index]?.url ?? '']),
    ),
    gatewayUrls: [g1, g2].map(({ fromSender }) => urlAt(fromSender.port)),
    close,
  };
}

const urlAt = (port: number) => `http://127.0.0.1:${port}`;
const natsUriAt = (port: number) => `nats://127.0.0.1:${port}`;
const mongoUriAt = (port: number) => `mongodb://127.0.0.1:${port}/chaos?replicaSet=rs0&directConnection=true`;

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
