import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  freePort,
  openSourcesFile,
  type Running,
  resolveServers,
  type Service,
  startChild,
  startNatsServer,
  startService,
} from '@paystream/local';
import { MongoClient } from 'mongodb';
import { connect } from 'nats';
import { eventually, throwAwayFolder } from './harness.ts';

/** Three brokers, three database members, two of each service; all on loopback, without a proxy. */
export interface Cluster {
  natsUri: string;
  mongoUri: string;
  gatewayUrls: string[];
  serviceUrls: string[];
  /** SIGKILL of the broker that leads the stream of payments. Returns its name. */
  killStreamLeader(): Promise<string>;
  /** SIGKILL of the database's primary. Returns its address. */
  killPrimary(): Promise<string>;
  /** Starts again who was killed, with its data and port. */
  startKilled(): Promise<void>;
  close(): Promise<void>;
}

const host = '127.0.0.1';
const members = [1, 2, 3];

export async function startCluster(onLine: (service: string, line: string) => void): Promise<Cluster> {
  const folder = throwAwayFolder('cluster');
  const running = new Map<string, Running>();
  const services: Service[] = [];
  let killed: string | undefined;
  const close = async () => {
    // Nothing is kept, and a member that is asked to end first waits for somebody to take over.
    await Promise.all(services.map((service) => service.stop()));
    await Promise.all([...running.values()].map((process) => process.kill()));
    folder.remove();
  };
  try {
    const { launch, addresses } = await createLaunchers(folder.path);
    const start = async (name: string) => {
      running.set(name, await (launch.get(name) ?? missing(name))());
    };
    const kill = async (name: string) => {
      await running.get(name)?.kill();
      killed = name;
      return name;
    };
    for (const name of launch.keys()) await start(name);
    const natsUri = addresses.brokers.map((address) => `nats://${address}`).join(',');
    const mongoUri = `mongodb://${addresses.databases.join(',')}/cluster?replicaSet=rs0`;
    await initiate(addresses.databases);
    services.push(...(await startServices({ natsUri, mongoUri, onLine })));
    await Promise.all(services.map((service) => service.ready({ withinMs: 60_000 })));
    const urls = services.map(({ url = '' }) => url);
    return {
      ...{ natsUri, mongoUri, serviceUrls: urls, gatewayUrls: urls.slice(0, 2), close },
      killStreamLeader: async () => kill(await streamLeader(natsUri)),
      killPrimary: async () => kill(await primary(mongoUri)),
      startKilled: async () => {
        if (killed !== undefined) await start(killed);
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const missing = (name: string) => {
  throw new Error(`there is no ${name}`);
};

/** Brokers go by their name and databases by their address: so they are called when they lead. */
async function createLaunchers(folder: string) {
  const binaries = resolveServers();
  const launch = new Map<string, () => Promise<Running>>();
  const addresses = { brokers: [] as string[], databases: [] as string[] };
  const brokers = await Promise.all(
    members.map(async (n) => ({ name: `broker-${n}`, port: await freePort(), route: await freePort() })),
  );
  const routes = brokers.map(({ route }) => `nats://${host}:${route}`);
  for (const { name, port, route } of brokers) {
    const cluster = { name: 'paystream', listen: `${host}:${route}`, routes };
    const config = `server_name: ${name}\ncluster: ${JSON.stringify(cluster)}`;
    addresses.brokers.push(`${host}:${port}`);
    launch.set(name, () =>
      startNatsServer({ binary: binaries.natsServer, port, storeDir: join(folder, name), config }),
    );
  }
  for (const n of members) {
    const address = `${host}:${await freePort()}`;
    addresses.databases.push(address);
    launch.set(address, () => startMember(binaries.mongod, address, join(folder, `database-${n}`)));
  }
  return { launch, addresses };
}

/** A mongod that is not initiated by itself, unlike the one of `npm start`. */
async function startMember(binary: string, address: string, dataDir: string): Promise<Running> {
  mkdirSync(dataDir, { recursive: true });
  const args = [
    ...['--replSet', 'rs0', '--port', address.split(':')[1] ?? '', '--bind_ip', host, '--dbpath', dataDir],
    ...['--wiredTigerCacheSizeGB', '0.25', '--oplogSize', '64', '--nounixsocket'],
  ];
  const process = startChild({ command: binary, args, stopWithinMs: 10_000 });
  await eventually(() => process.lines.some((line) => line.includes('Waiting for connections')), {
    within: 30_000,
    until: (listens) => listens,
  });
  return process;
}

async function initiate(addresses: readonly string[]): Promise<void> {
  const client = new MongoClient(`mongodb://${addresses[0]}/?directConnection=true`);
  try {
    const admin = client.db('admin');
    const set = addresses.map((address, index) => ({ _id: index, host: address }));
    await admin.command({ replSetInitiate: { _id: 'rs0', members: set } });
    // All three: with one that still copies, the loss of another would be the loss of the majority.
    await eventually(() => admin.command({ replSetGetStatus: 1 }).catch(() => ({ members: [] })), {
      within: 60_000,
      until: ({ members: seen }) =>
        seen.filter(({ stateStr }: { stateStr: string }) => /^(PRIMARY|SECONDARY)$/.test(stateStr)).length ===
        3,
    });
  } finally {
    await client.close();
  }
}

interface ServicesOptions {
  natsUri: string;
  mongoUri: string;
  onLine: (service: string, line: string) => void;
}

async function startServices({ natsUri, mongoUri, onLine }: ServicesOptions) {
  const start = async (name: string, workspace: string) =>
    startService({
      name,
      entry: `${workspace}/dist/main.js`,
      env: {
        ...{ PORT: String(await freePort()), NATS_URI: natsUri, MONGO_URI: mongoUri, PROVISION: 'true' },
        SOURCES_FILE: openSourcesFile,
        // Three replicas of each stream are set aside on one disk.
        ...{ STREAM_REPLICAS: '3', STREAM_MAX_BYTES: String(64 * 1_048_576), BROKER_SYNC: 'always' },
      },
      onLine: (line) => onLine(name, line),
    });
  return [
    await start('gateway-1', 'third-party-gateway'),
    await start('gateway-2', 'third-party-gateway'),
    await start('payments-1', 'payment-service'),
    await start('payments-2', 'payment-service'),
  ];
}

async function streamLeader(natsUri: string): Promise<string> {
  const nats = await connect({ servers: natsUri.split(',') });
  try {
    const { cluster } = await (await nats.jetstreamManager()).streams.info('payment');
    return cluster?.leader ?? '';
  } finally {
    await nats.close();
  }
}

async function primary(mongoUri: string): Promise<string> {
  const client = await MongoClient.connect(mongoUri);
  try {
    const hello = await client.db('admin').command({ hello: 1 });
    return String(hello.primary);
  } finally {
    await client.close();
  }
}
