import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort, type Running, resolveServer } from '@paystream/local';
import { startChild } from '../local/src/child.ts';
import {
  type ComposeService,
  environmentOf,
  interpolations,
  read,
  readCompose,
  readDockerfile,
  root,
} from './compose-file.ts';
import { eventually, testMongoUri, throwAwayFolder } from './harness.ts';

const compose = readCompose().services;
const passwords = Object.fromEntries(
  interpolations()
    .filter(({ name }) => name.includes('PASSWORD'))
    .map(({ name }) => [name, `p${randomUUID().replaceAll('-', '')}`]),
);
const folder = throwAwayFolder('built');
const running: Running[] = [];
let natsPort: number;
let monitorPort: number;
let addresses: Record<string, string>;

beforeAll(async () => {
  const built = tsc('-b');
  if (built.status !== 0) throw new Error(`tsc -b failed\n${built.stdout}`);
  natsPort = await freePort();
  monitorPort = await freePort();
  addresses = {
    NATS_URI: `nats://127.0.0.1:${natsPort}`,
    MONGO_URI: testMongoUri(),
    HOST: '127.0.0.1',
  };
  await startShippedBroker();
});
afterAll(async () => {
  // The services first: without their broker they would log that they lost it.
  for (const child of running.reverse()) await child.stop();
  folder.remove();
});

const tsc = (...args: string[]) =>
  spawnSync(join(root, 'node_modules/.bin/tsc'), args, { cwd: root, encoding: 'utf8' });

/** nats/nats-server.conf word for word but for its folder, which is a container's; the ports come from outside. */
async function startShippedBroker(): Promise<void> {
  const file = join(folder.path, 'nats-server.conf');
  writeFileSync(
    file,
    read('nats/nats-server.conf').replace('"/data"', JSON.stringify(join(folder.path, 'data'))),
  );
  const ports = ['-a', '127.0.0.1', '-p', String(natsPort), '-m', String(monitorPort)];
  running.push(
    startChild({
      command: resolveServer('nats-server'),
      args: ['--config', file, ...ports],
      env: environmentOf(compose.nats, passwords),
      stopWithinMs: 10_000,
    }),
  );
  await eventually(() => statusOf(`http://127.0.0.1:${monitorPort}/healthz`), {
    until: (status) => status === 200,
  });
}

/** The command and environment of a service in docker-compose.yml, at the addresses of this test. */
function start(service: ComposeService, env: Record<string, string> = {}): Running {
  const [command, ...args] = service.command ?? [];
  const given = environmentOf(service, passwords);
  const moved = Object.fromEntries(Object.entries(addresses).filter(([name]) => name in given));
  const child = startChild({
    command: nodeOf(command),
    args,
    cwd: root,
    env: { PATH: process.env.PATH, ...imageOf(service).env, ...given, ...moved, ...env },
    stopWithinMs: 12_000,
  });
  running.push(child);
  return child;
}

const imageOf = ({ build }: ComposeService) => readDockerfile(build?.dockerfile ?? '');

/** The Node that runs the tests, whatever else is on PATH. */
const nodeOf = (command: string | undefined) => (command === 'node' ? process.execPath : (command ?? ''));

function statusOf(url: string): Promise<number> {
  return fetch(url).then(
    ({ status }) => status,
    () => 0,
  );
}

/** What the image's HEALTHCHECK ends with. */
function healthOf(service: ComposeService, port: number): number | null {
  const [command, ...args] = imageOf(service).healthcheck;
  const env = { PATH: process.env.PATH, PORT: String(port) };
  return spawnSync(nodeOf(command), args, { cwd: root, env }).status;
}

/**
 * Whatever is not a log line of level info or below: a warning of Node's, an error, a refused permission. That anybody can
 * send as x-payment is said at every start, and is as it is shipped.
 */
const alarming = ({ lines }: Running) =>
  lines.filter(
    (line) => !line.startsWith('{') || (JSON.parse(line).level > 30 && !line.includes('source.not-verified')),
  );

describe('tsc -b', () => {
  const { references } = JSON.parse(read('tsconfig.json'));

  test.each<{ path: string }>(references)('builds no test of $path', ({ path }) => {
    const { files } = JSON.parse(tsc('-p', path, '--showConfig').stdout);

    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file: string) => /\.test\.|\/testing\//.test(file))).toEqual([]);
  });
});

describe('the images’ commands, on the shipped broker configuration', () => {
  test('provision creates what is missing under its own user, and has nothing to do the next time', async () => {
    const first = start(compose.provision);
    expect(await first.exited).toEqual({ code: 0, signal: null });
    const second = start(compose.provision);
    expect(await second.exited).toEqual({ code: 0, signal: null });

    expect(first.lines.filter((line) => line.endsWith(': created'))).toHaveLength(6);
    expect(second.lines).toEqual([expect.stringMatching(/: safe \(0 unsafe, 0 warnings\)$/)]);
  });

  test('both services do their job under their own users, say nothing alarming, and exit 0 on SIGTERM', async () => {
    const ports = { gateway: await freePort(), payments: await freePort() };
    const gateway = start(compose.gateway, { PORT: String(ports.gateway) });
    const payments = start(compose.payments, { PORT: String(ports.payments) });
    const [gatewayUrl, paymentsUrl] = [
      `http://127.0.0.1:${ports.gateway}`,
      `http://127.0.0.1:${ports.payments}`,
    ];
    for (const url of [gatewayUrl, paymentsUrl]) {
      await eventually(() => statusOf(`${url}/readyz`), {
        within: 20_000,
        until: (status) => status === 200,
      });
    }

    const txId = randomUUID();
    const sent = await fetch(`${gatewayUrl}/webhooks/x-payment`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ txId, action: 'NEW', amount: 1_250, note: 'built' }),
    });
    const found = await fetch(`${paymentsUrl}/transactions/${txId}?wait=10`);
    const pages = await Promise.all(
      [gatewayUrl, paymentsUrl].map((url) => statusOf(`${url}/api-docs/swagger-ui-bundle.js`)),
    );
    const monitor = await fetch(`http://127.0.0.1:${monitorPort}/connz?auth=true`);
    const healthy = [healthOf(compose.gateway, ports.gateway), healthOf(compose.payments, ports.payments)];
    const exits = await Promise.all([gateway.stop(), payments.stop()]);

    expect(sent.status).toBe(200);
    expect(await found.json()).toMatchObject({ txId, status: 'new', amount: 1_250 });
    expect(pages).toEqual([200, 200]);
    expect(await monitor.json()).toMatchObject({
      connections: expect.arrayContaining([
        expect.objectContaining({ name: 'third-party-gateway', authorized_user: 'gateway' }),
        expect.objectContaining({ name: 'payment-service', authorized_user: 'payments' }),
      ]),
    });
    expect(healthy).toEqual([0, 0]);
    expect([alarming(gateway), alarming(payments)]).toEqual([[], []]);
    expect(exits).toEqual([
      { code: 0, signal: null },
      { code: 0, signal: null },
    ]);
    expect(healthOf(compose.gateway, ports.gateway)).toBe(1);
  });
});
