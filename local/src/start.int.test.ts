import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { operatorEntry } from '@paystream/runtime';
import { type Running, startChild } from './child.ts';
import { freePort, resolveServers, startMongod, startNatsServer } from './index.ts';
import { portProblem } from './ports.ts';
import { ROOT } from './root.ts';
import { openSourcesFile } from './sources.ts';
import { eventually, temporaryFolder } from './test-fixture.ts';

const running: Running[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((process) => process.stop()));
});

type Settings = Record<string, string>;

async function settings(): Promise<Settings> {
  const names = ['GATEWAY_PORT', 'PAYMENT_PORT', 'NATS_PORT', 'MONGO_PORT'];
  const ports = await Promise.all(names.map(async (name) => [name, String(await freePort())]));
  return { ...Object.fromEntries(ports), DATA_DIR: temporaryFolder() };
}

// As it is built, which starts in half of the time; through npm it runs from its source.
const directly = ['local/dist/src/start.js'];

function start(env: Settings, { command = process.execPath, args = directly } = {}): Running {
  const { PATH = '', HOME = '' } = process.env;
  const child = startChild({ command, args, cwd: ROOT, env: { PATH, HOME, ...env }, stopWithinMs: 20_000 });
  running.push(child);
  return child;
}

const says = (child: Running, text: string) => child.lines.some((line) => line.includes(text));

async function ready(child: Running): Promise<void> {
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  await eventually(() => ended || says(child, 'Paystream is ready'));
  if (ended) throw new Error(child.lines.join('\n'));
}

const send = (env: Settings, txId: string) =>
  fetch(`http://127.0.0.1:${env.GATEWAY_PORT}/webhooks/x-payment`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ txId, action: 'NEW', amount: 100, note: 'first' }),
  });
const read = (env: Settings, txId: string) =>
  fetch(`http://127.0.0.1:${env.PAYMENT_PORT}/transactions/${txId}?wait=10`);

const changeReplay = async (env: Settings, token: string) => {
  const answer = await fetch(`http://127.0.0.1:${env.PAYMENT_PORT}/replay`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"speed":4,"reason":"catch up"}',
  });
  return answer.status;
};

/** All that was started has the folder in its environment. */
function processesOf({ DATA_DIR = '' }: Settings): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(DATA_DIR);
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function portsInUse(env: Settings): Promise<string[]> {
  const names = ['GATEWAY_PORT', 'PAYMENT_PORT', 'NATS_PORT', 'MONGO_PORT'];
  const problems = await Promise.all(names.map((name) => portProblem(Number(env[name]))));
  return names.filter((_, index) => problems[index] !== undefined);
}

async function expectNothingLeft(env: Settings): Promise<void> {
  expect(await portsInUse(env)).toEqual([]);
  if (process.platform === 'linux') expect(processesOf(env)).toEqual([]);
}

test('takes a webhook, stops in order on SIGTERM, and has the data at the next start', async () => {
  const env = await settings();
  const txId = randomUUID();
  const first = start(env);
  await ready(first);
  expect((await send(env, txId)).status).toBe(200);
  expect((await read(env, txId)).status).toBe(200);
  const tokenPath = join(env.DATA_DIR ?? '', 'operator-token');
  const token = readFileSync(tokenPath, 'utf8').trim();
  expect(statSync(tokenPath).mode & 0o777).toBe(0o600);
  expect(says(first, `-H "authorization: Bearer $(cat ${tokenPath})"`)).toBe(true);
  expect([await changeReplay(env, token), await changeReplay(env, `${token}x`)]).toEqual([200, 401]);

  expect(await first.stop()).toEqual({ code: 0, signal: null });
  expect(first.lines.filter((line) => line.includes(token))).toEqual([]);
  const order = ['Stopping the services.', 'service.stopped', 'Stopping the servers.', 'Stopped.'];
  const places = order.map((text) => first.lines.findLastIndex((line) => line.includes(text)));
  expect(places).toEqual([...places].sort((a, b) => a - b));
  expect(places).not.toContain(-1);
  await expectNothingLeft(env);

  const second = start(env);
  await ready(second);
  expect(await (await read(env, txId)).json()).toMatchObject({ txId, status: 'new', amount: 100 });
  expect(await changeReplay(env, token)).toBe(200);
  expect(await second.stop('SIGINT')).toEqual({ code: 0, signal: null });
  await expectNothingLeft(env);
});

test('stops in order when npm gets the signal', async () => {
  const env = await settings();
  const child = start(env, { command: 'npm', args: ['start'] });
  await ready(child);

  expect(await child.stop('SIGTERM')).toEqual({ code: 0, signal: null });

  expect(says(child, 'Stopped.')).toBe(true);
  await expectNothingLeft(env);
});

test('stops while it is still starting', async () => {
  const env = await settings();
  const child = start(env);
  await eventually(async () => (await portProblem(Number(env.MONGO_PORT))) === 'in use');

  expect(await child.stop('SIGINT')).toEqual({ code: 0, signal: null });

  await expectNothingLeft(env);
});

test('goes on stopping in order at a second signal', async () => {
  const env = await settings();
  const child = start(env);
  await ready(child);

  const stopped = child.stop('SIGINT');
  process.kill(child.pid, 'SIGINT');

  expect(await stopped).toEqual({ code: 0, signal: null });
  expect(says(child, 'Stopped.')).toBe(true);
  await expectNothingLeft(env);
});

test('starts a service again that died, and says so', async () => {
  const env = await settings();
  const child = start(env);
  await ready(child);
  const gateway = processesOf(env).find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('third-party-gateway/dist/main.js'),
  );

  process.kill(gateway ?? 0, 'SIGKILL');

  await eventually(() =>
    says(child, 'third-party-gateway ended by itself (SIGKILL). It is started again in 1 s.'),
  );
  await eventually(async () => (await send(env, randomUUID()).catch(() => undefined))?.status === 200);
});

test('waits longer before each further start of a service that keeps dying, and what came meanwhile is applied', async () => {
  const env = await settings();
  const child = start(env);
  await ready(child);
  const payments = () =>
    processesOf(env).find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('payment-service/dist/main.js'),
    );
  const txId = randomUUID();
  let killed: number | undefined;

  for (const seconds of [1, 2, 4]) {
    await eventually(() => payments() !== undefined && payments() !== killed);
    killed = payments();
    process.kill(killed ?? 0, 'SIGKILL');
    const line = `payment-service ended by itself (SIGKILL). It is started again in ${seconds} s.`;
    await eventually(() => says(child, line));
    if (seconds === 1) expect((await send(env, txId)).status).toBe(200);
  }

  await eventually(async () => (await read(env, txId).catch(() => undefined))?.status === 200);
});

test('leaves nothing behind when it is killed itself', async () => {
  const env = await settings();
  const child = start(env);
  await ready(child);

  await child.kill();

  await eventually(async () => processesOf(env).length === 0 && (await portsInUse(env)).length === 0);
});

test('uses the servers, operators and sources that are given, and leaves the servers running', async () => {
  const env = await settings();
  const { natsServer, mongod } = resolveServers();
  const nats = await startNatsServer({ binary: natsServer, storeDir: temporaryFolder() });
  const mongo = await startMongod({ binary: mongod, dataDir: temporaryFolder() });
  running.push(nats, mongo);
  const given = {
    ...env,
    NATS_URI: nats.uri,
    MONGO_URI: mongo.uriOf('given'),
    OPERATOR_TOKENS: operatorEntry({ name: 'anna', role: 'operator', token: 'a-token-of-anna' }),
    SOURCES_FILE: openSourcesFile,
  };
  const txId = randomUUID();

  const child = start(given);
  await ready(child);
  await send(env, txId);
  expect((await read(env, txId)).status).toBe(200);
  expect(await changeReplay(env, 'a-token-of-anna')).toBe(200);
  expect(says(child, 'operator   the ones of OPERATOR_TOKENS')).toBe(true);
  expect(await child.stop()).toEqual({ code: 0, signal: null });

  expect(readdirSync(env.DATA_DIR ?? '')).toEqual([]);
  expect(await portProblem(nats.port)).toBe('in use');
  expect(await portProblem(mongo.port)).toBe('in use');
});

test('names a port that is taken and the variable to change, and starts nothing', async () => {
  const env = await settings();
  const taken = createServer().listen({ host: '127.0.0.1', port: Number(env.NATS_PORT) });
  const child = start(env);

  expect(await child.exited).toEqual({ code: 1, signal: null });
  await new Promise((resolve) => taken.close(resolve));

  expect(child.lines).toEqual([
    `Port ${env.NATS_PORT} (nats-server) is in use. Stop what listens there or set NATS_PORT to a free port.`,
  ]);
  await expectNothingLeft(env);
});

test('names a folder that it cannot write and the variable to change', async () => {
  const env = await settings();
  const file = join(env.DATA_DIR ?? '', 'file');
  writeFileSync(file, '');
  const child = start({ ...env, DATA_DIR: join(file, 'data') });

  expect(await child.exited).toEqual({ code: 1, signal: null });

  expect(child.lines).toEqual([
    `The folder ${file}/data cannot be written (ENOTDIR). Set DATA_DIR to another one.`,
  ]);
});

test('names every wrong setting', async () => {
  const child = start({ ...(await settings()), GATEWAY_PORT: 'web', MONGO_PORT: '-1' });

  expect(await child.exited).toEqual({ code: 1, signal: null });

  expect(child.lines.map((line) => line.split(':')[0])).toEqual(['GATEWAY_PORT', 'MONGO_PORT']);
});

test('says that the folder is in use by another mongod, and leaves that one alone', async () => {
  const env = await settings();
  const dataDir = join(env.DATA_DIR ?? '', 'mongo');
  const other = await startMongod({ binary: resolveServers().mongod, dataDir });
  running.push(other);
  const child = start(env);

  expect(await child.exited).toEqual({ code: 1, signal: null });

  expect(child.lines).toEqual([`mongod cannot use ${dataDir}: another mongod is running on it`]);
  expect(await portProblem(other.port)).toBe('in use');
});

test('says which server is missing and how to get it', async () => {
  const env = await settings();
  const child = start({
    ...env,
    PATH: join(process.execPath, '..'),
    PAYSTREAM_CACHE: join(env.DATA_DIR ?? '', 'cache'),
  });

  expect(await child.exited).toEqual({ code: 1, signal: null });

  expect(child.lines).toEqual([
    expect.stringMatching(/^There is no mongod \(PATH: .*; cache: .*\)\. Run: node local\/setup\.js$/),
  ]);
});
