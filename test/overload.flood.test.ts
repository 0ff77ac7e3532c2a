import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { openStore } from '../payment-service/src/testing/fixture.ts';
import { eventually, post, type System, startSystem, untilQuiet, webhook } from './harness.ts';

const memoryMaxMiB = 300;

let system: System;
let gateway: Service;
let payments: Service;
beforeEach(async () => {
  system = await startSystem();
  // Applied as fast as it can be: how a backlog is paced is another test.
  [gateway, payments] = await Promise.all([
    system.startGateway(),
    system.startPayments({ REPLAY_MODE: 'instant' }),
  ]);
  await Promise.all([gateway.ready(), payments.ready()]);
});
afterEach(() => system.close());

type Sent = [txId: string, outcome: number | string, retryAfter: string | null, code?: string];

/** In a process of its own: thousands of senders in this one would be late themselves. */
async function flood(load: { senders: number; webhooks: number; bytes: number }): Promise<Sent[]> {
  const script = fileURLToPath(new URL('flood.js', import.meta.url));
  const args = [`${gateway.url}/webhooks/x-payment`, load.senders, load.webhooks, load.bytes].map(String);
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const sent: Sent[] = [];
  for await (const line of createInterface({ input: child.stdout })) sent.push(JSON.parse(line));
  return sent;
}

const outcomesOf = (sent: readonly Sent[]) => [...new Set(sent.map(([, outcome]) => outcome))].sort();
const answered = (sent: readonly Sent[], status: number) =>
  sent.filter(([, outcome]) => outcome === status).map(([txId]) => txId);
const refusedWithoutDelay = (sent: readonly Sent[]) =>
  sent.filter(([, outcome, retryAfter]) => outcome === 503 && !(Number(retryAfter) > 0));

/** How many events each of the transactions has; those that are not there are missing. */
async function eventsOf(txIds: readonly string[]): Promise<number[]> {
  const store = await openStore(system.mongoUri);
  const pages = Array.from({ length: Math.ceil(txIds.length / 500) }, (_, page) =>
    store.readRecords(txIds.slice(page * 500, page * 500 + 500)),
  );
  const records = (await Promise.all(pages)).flatMap((page) => [...page.values()]);
  await store.close();
  return records.map(({ actionHistory }) => actionHistory.length);
}

/** The largest that a process was, since it began. */
function peakMiB({ pid }: Service): number {
  const kiB = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kiB) / 1_024;
}

/** What the gateway's log says: how long each webhook was in hand there, and how many were turned away. */
function toldBy({ lines }: Service): { slowestMs: number; turnedAway: number } {
  const parsed = lines.map((line) => JSON.parse(line));
  const durations = parsed.flatMap(({ durationMs, method }) => (method === 'POST' ? [durationMs] : []));
  const counts = parsed.flatMap(({ msg, count }) => (msg === 'requests.turned-away' ? [count] : []));
  return { slowestMs: Math.max(...durations), turnedAway: counts.reduce((sum, count) => sum + count, 0) };
}

describe('with far more webhooks than it can take', () => {
  test('after the broker stood still, the gateway refuses what is too much, stays small, and loses nothing that it has answered 200', async () => {
    system.broker.pause();
    const flooding = flood({ senders: 1_500, webhooks: 4_000, bytes: 0 });
    await eventually(() => toldBy(gateway).turnedAway, { within: 20_000, until: (count) => count > 0 });
    system.broker.resume();
    const sent = await flooding;
    await untilQuiet(system);

    const stored = answered(sent, 200);
    expect(sent).toHaveLength(4_000);
    expect(outcomesOf(sent)).toEqual([200, 503]);
    expect(refusedWithoutDelay(sent)).toEqual([]);
    expect(await eventsOf(stored)).toEqual(stored.map(() => 1));
    expect(toldBy(gateway).slowestMs).toBeLessThan(5_000);
    expect([peakMiB(gateway), peakMiB(payments)].every((mib) => mib < memoryMaxMiB)).toBe(true);
    if (process.env.SHOW_RHYTHM !== undefined)
      console.log(stored.length, toldBy(gateway), peakMiB(gateway), peakMiB(payments));
  }, 60_000);

  test('large ones are turned away before they fill its memory, while the broker says nothing', async () => {
    system.broker.pause();
    const refused = await flood({ senders: 200, webhooks: 400, bytes: 250_000 });
    system.broker.resume();
    await eventually(() => post(gateway, webhook()), { until: ({ status }) => status === 200 });
    const after = await flood({ senders: 10, webhooks: 50, bytes: 250_000 });
    await untilQuiet(system);

    expect(refused).toHaveLength(400);
    expect(outcomesOf(refused)).toEqual([503]);
    expect(refusedWithoutDelay(refused)).toEqual([]);
    // Not those that waited for the broker: there is room for 64.
    expect(refused.filter(([, , , code]) => code === 'overloaded').length).toBeGreaterThan(100);
    expect(toldBy(gateway).slowestMs).toBeLessThan(5_000);
    expect(peakMiB(gateway)).toBeLessThan(memoryMaxMiB);
    const stored = answered(after, 200);
    expect(stored.length).toBeGreaterThan(0);
    expect(await eventsOf(stored)).toEqual(stored.map(() => 1));
    if (process.env.SHOW_RHYTHM !== undefined) console.log(toldBy(gateway), peakMiB(gateway));
  }, 60_000);
});
