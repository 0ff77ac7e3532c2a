import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  freePort,
  openSourcesFile,
  resolveServers,
  type Service,
  startMongod,
  startNatsServer,
  startService,
} from '@paystream/local';
import { connect, type NatsConnection } from 'nats';

/** A broker, a database and a gateway of our own, and as many consuming processes as a bench starts. */
export interface Rig {
  natsUri: string;
  mongoUri: string;
  gatewayUrl: string;
  /** A connection of the bench's own. */
  nats: NatsConnection;
  /** Starts a process of ours from its source; it ends with the rig at the latest. */
  start(options: {
    name: string;
    entry: string;
    env: Record<string, string>;
    onLine: (line: string) => void;
  }): Promise<Service>;
  close(): Promise<void>;
}

/** Resolves when the gateway takes webhooks. A database that is given is used, and none is started. */
export async function startRig({ mongoUri }: { mongoUri?: string | undefined } = {}): Promise<Rig> {
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
    const start: Rig['start'] = async ({ env, ...options }) => {
      const service = startService({
        ...options,
        env: { ...env, PORT: String(await freePort()), NATS_URI: broker.uri },
      });
      ends.push(() => service.stop());
      return service;
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
    return { natsUri: broker.uri, mongoUri: database, gatewayUrl: gateway.url ?? '', nats, start, close };

    async function startDatabase(): Promise<string> {
      const mongod = await startMongod({ binary: binaries.mongod, dataDir: join(folder, 'mongo') });
      ends.push(() => mongod.stop());
      return mongod.uriOf('bench');
    }
  } catch (error) {
    await close();
    throw error;
  }
}
