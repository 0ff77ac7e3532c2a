import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import {
  builtFrom,
  freePort,
  type NatsServer,
  openSourcesFile,
  resolveServers,
  type Service,
  startMongod,
  startNatsServer,
  startService,
} from '@paystream/local';
import { provision } from '@paystream/nats';
import { connect, type NatsConnection } from 'nats';

/** A broker, a database and a gateway of our own, and as many consuming processes as a bench starts. */
export interface Rig {
  /** Thrown away with the rig. */
  folder: string;
  natsUri: string;
  mongoUri: string;
  gatewayUrl: string;
  /** A connection of the bench's own. */
  nats: NatsConnection;
  /** Starts a process of ours; it ends with the rig at the latest. */
  start(options: StartOptions): Promise<Service>;
  /** A second broker with our streams, which ends with the rig at the latest. */
  startBroker(syncInterval: 'always' | '2m'): Promise<{ server: NatsServer; nats: NatsConnection }>;
  close(): Promise<void>;
}

export interface StartOptions {
  name: string;
  /** In the source; a rig of built code starts what was made of it. */
  entry: string;
  env: Record<string, string>;
  /** Hears each line that it logs; left out: the log goes to `<name>.log` in the rig's folder, at no cost to the bench. */
  onLine?: (line: string) => void;
}

/**
 * What mongod takes where it is not told otherwise: half of the memory but one GiB. With the quarter of a GiB of `npm start`, a
 * million transactions do not fit, and what is measured is how pages are thrown out and read again.
 */
const cacheSizeGB = Math.max(0.25, (totalmem() / 2 ** 30 - 1) / 2);

export interface RigOptions {
  /** Is used, and none is started. */
  mongoUri?: string | undefined;
  /** As in production: without the compiler in the process. `npm run build` must have been run. */
  built?: boolean;
}

/** Resolves when the gateway takes webhooks. */
export async function startRig({ mongoUri, built = false }: RigOptions = {}): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'paystream-bench-'));
  // Last started, first stopped.
  const ends: (() => Promise<unknown>)[] = [async () => rmSync(folder, { recursive: true, force: true })];
  const close = async () => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const binaries = resolveServers();
    const database = mongoUri ?? (await startDatabase());
    const broker = await startNatsServer({ binary: binaries.natsServer, storeDir: join(folder, 'nats') });
    ends.push(() => broker.stop());
    const start: Rig['start'] = async ({ name, entry, env, onLine }) => {
      const log = onLine === undefined ? openSync(join(folder, `${name}.log`), 'a') : undefined;
      const service = startService({
        name,
        entry: built ? builtFrom(entry) : entry,
        env: { NATS_URI: broker.uri, ...env, PORT: String(await freePort()) },
        ...(onLine === undefined ? {} : { onLine }),
        ...(log === undefined ? {} : { outputTo: log }),
      });
      if (log !== undefined) closeSync(log);
      ends.push(() => service.stop());
      return service;
    };
    const startBroker: Rig['startBroker'] = async (syncInterval) => {
      const storeDir = mkdtempSync(join(folder, 'nats-'));
      const server = await startNatsServer({ binary: binaries.natsServer, storeDir, syncInterval });
      ends.push(() => server.stop());
      const nats = await connect({ servers: server.uri });
      ends.push(() => nats.close());
      await provision(nats, { mode: 'create' });
      return { server, nats };
    };
    const gateway = await start({
      name: 'third-party-gateway',
      entry: 'third-party-gateway/src/main.ts',
      env: { SOURCES_FILE: openSourcesFile, PROVISION: 'true', BROKER_SYNC: 'always', LOG_LEVEL: 'error' },
      onLine: (line) => console.error(`gateway | ${line}`),
    });
    await gateway.ready();
    const nats = await connect({ servers: broker.uri });
    ends.push(() => nats.close());
    return {
      folder,
      natsUri: broker.uri,
      mongoUri: database,
      gatewayUrl: gateway.url ?? '',
      nats,
      start,
      startBroker,
      close,
    };

    async function startDatabase(): Promise<string> {
      const mongod = await startMongod({
        binary: binaries.mongod,
        dataDir: join(folder, 'mongo'),
        cacheSizeGB,
      });
      ends.push(() => mongod.stop());
      return mongod.uriOf('bench');
    }
  } catch (error) {
    await close();
    throw error;
  }
}
