import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db, Document } from 'mongodb';
import type { MongoInstance } from 'mongodb-memory-server-core/lib/util/MongoInstance.js';
import { createControls, type Exit, type Running } from './child.ts';
import { freePort } from './ports.ts';

export type Mongod = Running & {
  uri: string;
  port: number;
  /** The same address with a database in its path. */
  uriOf(database: string): string;
};

export type MongodOptions = {
  binary: string;
  /** Omitted: a free one. The same port and folder again is the same database, restarted. */
  port?: number;
  dataDir: string;
  /** Memory for its cache; mongod's own choice is half of the machine. */
  cacheSizeGB?: number;
  /** Written as a test wants them, after ours. */
  args?: readonly string[];
};

const REPLICA_SET = 'rs0';
const LINES_MAX = 500;

/** Covers the recovery of a journal after a crash. */
const READY_WITHIN_MS = 60_000;

/**
 * Resolves when mongod is the primary of its one-node replica set. The data stay when it stops, and are taken up
 * again on any port.
 */
export async function startMongod(options: MongodOptions): Promise<Mongod> {
  const port = options.port ?? (await freePort());
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  const { instance, lines } = await createInstance({ ...options, port, dataDir });

  await instance.start().catch((error: unknown) => {
    throw startFailure({ error, port, dataDir, lines });
  });
  const process = instance.mongodProcess;
  if (process?.pid === undefined) throw startFailure({ error: 'it ended at once', port, dataDir, lines });
  const { pid } = process;
  const exited = new Promise<Exit>((done) => {
    process.once('exit', (code, signal) => done({ code, signal }));
  });
  const controls = createControls({ pid, exited, stopWithinMs: 10_000 });

  async function stop(signal?: NodeJS.Signals): Promise<Exit> {
    const exit = await controls.stop(signal);
    await instance.stop();
    return exit;
  }
  async function kill(): Promise<Exit> {
    const exit = await controls.kill();
    await instance.stop();
    return exit;
  }

  const uriOf = (database: string) =>
    `mongodb://127.0.0.1:${port}/${database}?replicaSet=${REPLICA_SET}&directConnection=true`;
  await becomePrimary(port).catch(async (error: unknown) => {
    await kill();
    throw startFailure({ error, port, dataDir, lines });
  });
  return { ...controls, stop, kill, pid, port, exited, lines, uri: uriOf(''), uriOf };
}

/** Driver and library are loaded when a mongod starts: whoever else imports this workspace has no use for them. */
async function createInstance({
  binary,
  port,
  dataDir,
  cacheSizeGB = 0.25,
  args = [],
}: MongodOptions & { port: number }): Promise<{ instance: MongoInstance; lines: string[] }> {
  const { MongoInstance, MongoInstanceEvents } = await import(
    'mongodb-memory-server-core/lib/util/MongoInstance.js'
  );
  const { ResolveConfigVariables, setDefaultValue } = await import(
    'mongodb-memory-server-core/lib/util/resolveConfig.js'
  );
  // The binary was chosen and its version checked by the set-up.
  setDefaultValue(ResolveConfigVariables.SYSTEM_BINARY_VERSION_CHECK, 'false');
  const instance = new MongoInstance({
    instance: {
      port,
      ip: '127.0.0.1',
      dbPath: dataDir,
      storageEngine: 'wiredTiger',
      launchTimeout: READY_WITHIN_MS,
      args: [
        // Not by the option `replSet`: with it the library's stop sends a shutdown command to whoever listens on the
        // port, and it stops after a failed start too. Tried: a taken port shut the other mongod down.
        ...['--replSet', REPLICA_SET],
        ...['--wiredTigerCacheSizeGB', String(cacheSizeGB)],
        // No other member ever catches up from the oplog, and its default is a twentieth of the disk.
        ...['--oplogSize', '256'],
        // Everybody comes by TCP; a socket file would stay behind in the folder for temporary files after a crash.
        '--nounixsocket',
        // There is nobody to hand over to either, so a stop need not wait 15 s for it.
        ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=100'],
        ...args,
      ],
    },
    binary: { systemBinary: binary, checkMD5: false },
    // A group of its own: the terminal's Ctrl-C must not stop the database before the services.
    spawn: { detached: true },
  });
  const lines = collectLines(instance);
  instance.on(MongoInstanceEvents.instanceSTDERR, (line: string) => lines.push(line));
  return { instance, lines };
}

/** Initiates a new data folder, and gives an old one its new address when the port has changed. */
async function becomePrimary(port: number): Promise<void> {
  const { MongoClient } = await import('mongodb');
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
    serverSelectionTimeoutMS: 5_000,
  });
  try {
    const admin = client.db('admin');
    const host = `127.0.0.1:${port}`;
    const config = await client.db('local').collection('system.replset').findOne();
    if (config === null) {
      await admin.command({ replSetInitiate: { _id: REPLICA_SET, members: [{ _id: 0, host }] } });
    } else if (config.members?.[0]?.host !== host) {
      await moveTo({ admin, config, host });
    }
    await waitUntilPrimary(admin);
  } finally {
    await client.close();
  }
}

/** Forced, since a member that cannot find itself in its configuration votes for nobody. */
async function moveTo({ admin, config, host }: { admin: Db; config: Document; host: string }): Promise<void> {
  const moved = { ...config, version: config.version + 1, members: [{ ...config.members[0], host }] };
  await admin.command({ replSetReconfig: moved, force: true });
}

async function waitUntilPrimary(admin: Db): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const hello = await admin.command({ hello: 1 });
    if (hello.isWritablePrimary === true) return;
    if (Date.now() > deadline) throw new Error('it did not become the primary of its replica set');
    await sleep(20);
  }
}

/**
 * Hands the output to the library line by line. It takes each piece of output for one line, and an error message that
 * comes together with the next line made its parser throw where nobody can catch it (tried: a folder in use).
 */
function collectLines(instance: MongoInstance): string[] {
  const lines: string[] = [];
  const handleLine = instance.stdoutHandler.bind(instance);
  let rest = '';
  instance.stdoutHandler = (piece) => {
    const complete = `${rest}${piece}`.split('\n');
    rest = complete.pop() ?? '';
    lines.push(...complete);
    lines.splice(0, lines.length - LINES_MAX);
    for (const line of complete) handleLine(line);
  };
  return lines;
}

type FailureContext = { error: unknown; port: number; dataDir: string; lines: readonly string[] };

function startFailure({ error, port, dataDir, lines }: FailureContext): Error {
  const log = lines.join('\n');
  if (/address already in use/i.test(log)) {
    return new Error(`mongod cannot listen on port ${port}: it is in use`);
  }
  if (/DBPathInUse|another mongod instance is already running/i.test(log)) {
    return new Error(`mongod cannot use ${dataDir}: another mongod is running on it`);
  }
  const reason = loggedReason(lines) ?? (error instanceof Error ? error.message : String(error));
  return new Error(`mongod did not start with its data in ${dataDir}: ${reason}`, { cause: error });
}

/** The last error or fatal line of its JSON log. */
function loggedReason(lines: readonly string[]): string | undefined {
  const line = lines.findLast((text) => /"s":"[EF]"/.test(text));
  const message = line === undefined ? undefined : /"msg":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  const detail = line === undefined ? undefined : /"error":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  return message === undefined ? undefined : [message, detail].filter(Boolean).join(': ');
}
