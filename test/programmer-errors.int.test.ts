import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import type { NatsConnection } from 'nats';
import type { TransactionStore } from '../payment-service/src/store.ts';
import { openStore } from '../payment-service/src/testing/fixture.ts';
import { eventually, get, post, type System, startSystem, throwAwayFolder, webhook } from './harness.ts';

let system: System;
let nats: NatsConnection;
let store: TransactionStore;
const running: Service[] = [];
const folder = throwAwayFolder('bugs');
const buggy = join(folder.path, 'buggy.mjs');

// Bugs of ours, brought in from outside: a promise that nobody looks after, and an exception in the middle of a batch.
const trigger = 'brings out a bug';
writeFileSync(
  buggy,
  `import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
process.on('SIGUSR2', () => void Promise.reject(new Error('nobody looks after this')));
const { hash } = crypto;
crypto.hash = (algorithm, text, ...more) => {
  if (String(text).includes('${trigger}')) throw new TypeError('a bug in the loop');
  return hash(algorithm, text, ...more);
};
syncBuiltinESMExports();`,
);
const withBugs = { NODE_OPTIONS: `--import ${buggy}` };

beforeAll(async () => {
  system = await startSystem();
  nats = await system.nats();
  store = await openStore(system.mongoUri);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.stop()));
});
afterAll(async () => {
  await store.close();
  await system.close();
  folder.remove();
});

async function startPayments(env: Record<string, string> = {}): Promise<Service> {
  const service = await system.startPayments({ REPLAY_MODE: 'instant', ...env });
  running.push(service);
  return service;
}

const failureOf = ({ lines }: Service) =>
  lines.map((line) => JSON.parse(line)).find(({ msg }) => msg === 'service.failed');

test('an unhandled rejection is logged with its stack, and the process lets go of its work and exits 1', async () => {
  const [gateway, payments] = [await system.startGateway(withBugs), await startPayments(withBugs)];
  running.push(gateway);
  await Promise.all([gateway.ready(), payments.ready()]);
  expect((await post(gateway, webhook())).status).toBe(200);

  for (const service of [gateway, payments]) {
    process.kill(service.pid, 'SIGUSR2');
    expect(await service.exited).toEqual({ code: 1, signal: null });
    const failure = await eventually(() => failureOf(service), { until: (line) => line !== undefined });
    expect(failure).toMatchObject({
      level: 60,
      err: { message: 'nobody looks after this', stack: expect.stringContaining('buggy.mjs') },
    });
  }
});

test('an exception in the loop does the same; what was in hand is for the next process at once, and applied once', async () => {
  const before = await startPayments();
  await before.ready();
  await before.stop();
  const txIds = Array.from({ length: 300 }, () => randomUUID());
  const notes = txIds.map((_txId, index) => (index === 150 ? trigger : 'innocent'));
  await Promise.all(
    txIds.map((txId, index) =>
      nats
        .jetstream()
        .publish('payments.new', JSON.stringify({ txId, action: 'NEW', amount: 1, note: notes[index] })),
    ),
  );

  const failing = await startPayments(withBugs);
  expect(await failing.exited).toEqual({ code: 1, signal: null });
  const failure = await eventually(() => failureOf(failing), { until: (line) => line !== undefined });
  const next = await startPayments();
  const startedAt = performance.now();
  const records = await eventually(() => store.readRecords(txIds), {
    until: ({ size }) => size === txIds.length,
  });

  expect(failure.err).toMatchObject({ type: 'TypeError', stack: expect.stringMatching(/messages\.[jt]s:/) });
  // Not after the ack wait of 30 s.
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  expect([...records.values()].every(({ actionHistory }) => actionHistory.length === 1)).toBe(true);
  expect((await get(next, '/readyz')).status).toBe(200);
});
