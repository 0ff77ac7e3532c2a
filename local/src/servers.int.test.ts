import { spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { MongoClient } from 'mongodb';
import type { Running } from './child.ts';
import { freePort, type MongodOptions, type NatsServerOptions, resolveServers } from './index.ts';
import { startMongod } from './mongod.ts';
import { startNatsServer } from './nats-server.ts';
import { portProblem } from './ports.ts';
import { ROOT } from './root.ts';
import { eventually, isAlive, temporaryFolder } from './test-fixture.ts';

const binaries = resolveServers();

const running: Running[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.kill()));
});

async function nats(options: Omit<NatsServerOptions, 'binary'>) {
  const server = await startNatsServer({ binary: binaries.natsServer, ...options });
  running.push(server);
  return server;
}

async function mongo(options: Omit<MongodOptions, 'binary'>) {
  const server = await startMongod({ binary: binaries.mongod, ...options });
  running.push(server);
  return server;
}

async function withMongo<T>(uri: string, use: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = await MongoClient.connect(uri, { serverSelectionTimeoutMS: 5_000 });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

const write = (uri: string) => withMongo(uri, (client) => client.db('t').collection('t').insertOne({ n: 1 }));
const count = (uri: string) => withMongo(uri, (client) => client.db('t').collection('t').countDocuments());

/** The first line that a broker sends to whoever connects. */
function greeting(port: number): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(JSON.parse(data.toString().slice('INFO '.length)));
    });
  });
}

test('a broker starts with JetStream, a limit on payloads and no users, and comes back on its port', async () => {
  const storeDir = temporaryFolder();
  const first = await nats({ storeDir });
  expect(await greeting(first.port)).toMatchObject({ jetstream: true, max_payload: 1_048_576 });
  expect(await greeting(first.port)).not.toHaveProperty('auth_required');

  expect(await first.stop()).toEqual({ code: 0, signal: null });
  const second = await nats({ storeDir, port: first.port });

  expect(second.uri).toBe(first.uri);
  expect(second.pid).not.toBe(first.pid);
});

test('a broker takes more configuration', async () => {
  const { port } = await nats({
    storeDir: temporaryFolder(),
    config: 'authorization { users: [{ user: a, password: b }] }',
  });

  expect(await greeting(port)).toMatchObject({ auth_required: true });
});

test('a broker that cannot start says why', async () => {
  const { port } = await nats({ storeDir: temporaryFolder() });

  await expect(nats({ storeDir: temporaryFolder(), port })).rejects.toThrow(
    `nats-server cannot listen on port ${port}: it is in use`,
  );
  await expect(nats({ storeDir: temporaryFolder(), config: 'nonsense {' })).rejects.toThrow(
    /did not start\n.*Parse error/,
  );
});

test('a paused server can be stopped, and a killed one says so', async () => {
  const paused = await nats({ storeDir: temporaryFolder() });
  const killed = await nats({ storeDir: temporaryFolder() });

  paused.pause();

  expect(await paused.stop()).toEqual({ code: 0, signal: null });
  expect(await killed.kill()).toEqual({ code: null, signal: 'SIGKILL' });
  expect(await killed.stop()).toEqual({ code: null, signal: 'SIGKILL' });
});

test('a database is ready as a primary, and keeps its data over a stop, a crash and another port', async () => {
  const dataDir = temporaryFolder();
  const first = await mongo({ dataDir });
  await write(first.uri);
  expect(await first.stop()).toEqual({ code: 0, signal: null });

  const second = await mongo({ dataDir, port: first.port });
  await write(second.uri);
  expect(second.uri).toBe(first.uri);
  expect(await second.kill()).toEqual({ code: null, signal: 'SIGKILL' });

  const third = await mongo({ dataDir });
  await write(third.uri);
  expect(third.port).not.toBe(first.port);
  expect(await count(third.uri)).toBe(3);
});

test('a database that cannot start says why, and leaves the one that runs alone', async () => {
  const dataDir = temporaryFolder();
  const { port, uri } = await mongo({ dataDir });

  await expect(mongo({ dataDir: temporaryFolder(), port })).rejects.toThrow(
    `mongod cannot listen on port ${port}: it is in use`,
  );
  await expect(mongo({ dataDir })).rejects.toThrow(
    `mongod cannot use ${dataDir}: another mongod is running on it`,
  );

  await write(uri);
  expect(await count(uri)).toBe(1);
});

test('both servers end when the process that started them is killed', async () => {
  const [natsPort, mongoPort] = [await freePort(), await freePort()];
  const script = `
    import { resolveServers, startMongod, startNatsServer } from '@paystream/local';
    const { natsServer, mongod } = resolveServers();
    const servers = [
      await startNatsServer({ binary: natsServer, port: ${natsPort}, storeDir: '${temporaryFolder()}' }),
      await startMongod({ binary: mongod, port: ${mongoPort}, dataDir: '${temporaryFolder()}' }),
    ];
    console.log(servers.map(({ pid }) => pid).join(' '));
    setInterval(() => {}, 1000);
  `;
  const args = ['--conditions=@paystream/source', '--import', 'tsx', '--input-type=module', '--eval', script];
  const parent = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  const output = await new Promise<string>((resolve) => {
    parent.stdout.once('data', (data) => resolve(String(data)));
  });
  const pids = output.trim().split(' ').map(Number);
  expect(pids.map(isAlive)).toEqual([true, true]);

  parent.kill('SIGKILL');

  await eventually(() => !pids.some(isAlive));
  expect(await portProblem(natsPort)).toBeUndefined();
  expect(await portProblem(mongoPort)).toBeUndefined();
});
