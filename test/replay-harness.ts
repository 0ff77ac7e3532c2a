import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect } from '@jest/globals';
import { quantile, type Service } from '@paystream/local';
import { operatorEntry } from '@paystream/runtime';
import { type Answer, eventually, get, post, type System, startSystem, webhook } from './harness.ts';

/** An operator's token, and how the service knows it. */
export const operatorToken = 'test-operator-token';
export const operatorTokens = operatorEntry({
  name: 'tester',
  role: 'operator',
  token: operatorToken,
});

/** A database of its own on the run's mongod, so that what is set there holds for one test only. */
export function ownDatabase(system: System): string {
  const url = new URL(system.mongoUri);
  url.pathname = `/test-${randomUUID()}`;
  return url.toString();
}

const liveWithinMs = 100;

/** A payment-service with an operator, for which all but the newest is a backlog. */
export function startReplaying(system: System, env: Record<string, string> = {}): Promise<Service> {
  return system.startPayments({
    OPERATOR_TOKENS: operatorTokens,
    REPLAY_LIVE_WITHIN: `${liveWithinMs}ms`,
    ...env,
  });
}

/** A broker and a gateway for the tests of a file, and payment-services for one test each. */
export function useReplaySystem() {
  let system: System;
  let gateway: Service;
  let running: Service[] = [];

  beforeAll(async () => {
    system = await startSystem();
    gateway = await system.startGateway();
    await gateway.ready();
  });
  afterEach(async () => {
    await Promise.all(running.map((service) => service.stop()));
    running = [];
  });
  afterAll(() => system.close());

  return {
    system: () => system,
    gateway: () => gateway,
    /** Without waiting for it: how fast it is ready is not what is tested. */
    start: async (env: Record<string, string> = {}): Promise<Service> => {
      const service = await startReplaying(system, { MONGO_URI: ownDatabase(system), ...env });
      running.push(service);
      return service;
    },
  };
}

/** What `PUT /replay` answers. */
export async function putReplay(service: Service, change: Record<string, unknown>): Promise<Answer> {
  const response = await fetch(`${service.url}/replay`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${operatorToken}` },
    body: JSON.stringify({ reason: 'a test', ...change }),
  });
  return { status: response.status, body: await response.json(), headers: response.headers, ms: 0 };
}

export async function getReplay(service: Service) {
  return (await get(service, '/replay', { authorization: `Bearer ${operatorToken}` })).body;
}

export interface Applied {
  txId: string;
  storedAt: number;
  appliedAt: number;
  deliveries: number;
  outcome: string;
  sequence: number;
}

/** The lines of the services' logs with this message. */
// biome-ignore lint/suspicious/noExplicitAny: a line is what the test asserts
export function linesOf(services: readonly Service[], message: string): any[] {
  const wanted = `"${message}"`;
  return services.flatMap(({ lines }) =>
    lines.filter((line) => line.includes(wanted)).map((line) => JSON.parse(line)),
  );
}

/** What the services say that they have applied, in the order in which it was stored. */
export function appliedBy(...services: readonly Service[]): Applied[] {
  return linesOf(services, 'message.settled')
    .map(({ time, storedAt, txId, deliveries, outcome, sequence }) => ({
      txId,
      outcome,
      deliveries,
      sequence,
      storedAt: Date.parse(storedAt),
      appliedAt: Date.parse(time),
    }))
    .sort((left, right) => left.sequence - right.sequence || left.appliedAt - right.appliedAt);
}

/** The same of these transactions, as soon as there is as much of it. */
export async function untilApplied(
  services: readonly Service[],
  txIds: readonly string[],
  within = 30_000,
): Promise<Applied[]> {
  const wanted = new Set(txIds);
  const look = () => appliedBy(...services).filter(({ txId }) => wanted.has(txId));
  await eventually(() => look().length, { within, until: (count) => count >= txIds.length });
  return look();
}

export interface Sent {
  txId: string;
  /** When its 200 was there. */
  answeredAt: number;
}

/** Sends that many webhooks on an absolute schedule. Resolves when even the newest is old enough for a backlog. */
export async function sendPaced(
  gateway: Service,
  { count, gapMs, until = () => false }: { count: number; gapMs: number; until?: () => boolean },
): Promise<Sent[]> {
  const startedAt = performance.now();
  const sent: Promise<Sent>[] = [];
  for (let index = 0; index < count && !until(); index += 1) {
    await eventually(() => performance.now() - startedAt, {
      every: 1,
      within: 60_000,
      until: (elapsed) => elapsed >= index * gapMs,
    });
    sent.push(send(gateway));
  }
  const all = await Promise.all(sent);
  const newestAt = Math.max(...all.map(({ answeredAt }) => answeredAt));
  await eventually(() => Date.now(), { until: (at) => at > newestAt + liveWithinMs });
  return all;
}

async function send(gateway: Service): Promise<Sent> {
  const body = webhook();
  const { status } = await post(gateway, body);
  if (status !== 200) throw new Error(`the gateway answered ${status}`);
  return { txId: body.txId, answeredAt: Date.now() };
}

export const idsOf = (sent: readonly Sent[]) => sent.map(({ txId }) => txId);

/** For each pair of neighbours, how far apart they were applied, and how far they should have been. */
export function gapsOf(applied: readonly Applied[], speed = 1): { actualMs: number; wantedMs: number }[] {
  return applied.slice(1).map((item, index) => {
    const before = applied[index] ?? item;
    return {
      actualMs: item.appliedAt - before.appliedAt,
      wantedMs: (item.storedAt - before.storedAt) / speed,
    };
  });
}

/**
 * The promise is 1 % of the span (5 % at speed 4) and 15 ms of each gap; `npm run bench -- replay` measures it on a machine
 * that does nothing else. Where other work delays every process and every sync, a single gap says little: so here most
 * gaps must keep the promise, none may miss it by far, and the ends of the span may move by as much as one gap does. A
 * burst or a drift misses all of it.
 */
export function expectRhythm(
  applied: readonly Applied[],
  { speed = 1, interruptions = 0 }: { speed?: number; interruptions?: number } = {},
): void {
  const gaps = gapsOf(applied, speed);
  const errors = gaps.map(({ actualMs, wantedMs }) => Math.abs(actualMs - wantedMs));
  const counted = errors.toSorted((left, right) => left - right).slice(0, errors.length - interruptions);
  const limit = counted.at(-1) ?? 0;
  const within = gaps.filter((_gap, index) => (errors[index] ?? 0) <= limit);
  const spanMs = within.reduce((sum, { actualMs }) => sum + actualMs, 0);
  const wantedMs = within.reduce((sum, { wantedMs: one }) => sum + one, 0);
  if (process.env.SHOW_RHYTHM !== undefined) {
    const at = (share: number) => quantile(counted, share).toFixed(1);
    console.log({
      events: applied.length,
      speed,
      spanMs,
      wantedMs,
      p50: at(0.5),
      p95: at(0.95),
      p99: at(0.99),
      max: at(1),
    });
    if (limit > 50) {
      const [first = { storedAt: 0, appliedAt: 0 }] = applied;
      console.log(
        applied
          .map(
            (a) =>
              `${a.sequence} ${a.storedAt - first.storedAt} ${a.appliedAt - first.appliedAt} ${a.deliveries}`,
          )
          .join('\n'),
      );
    }
  }

  expect(Math.abs(spanMs - wantedMs)).toBeLessThan(wantedMs * (speed === 1 ? 0.01 : 0.05) + 50);
  expect(quantile(counted, 0.7)).toBeLessThan(15);
  expect(quantile(counted, 0.95)).toBeLessThan(50);
  expect(limit).toBeLessThan(250);
}

/** Each was handed out once and applied once. */
export function expectEachOnce(applied: readonly Applied[], count: number): void {
  expect(applied).toHaveLength(count);
  expect(new Set(applied.map(({ txId }) => txId)).size).toBe(count);
  expect(new Set(applied.map(({ outcome, deliveries }) => `${outcome} ${deliveries}`))).toEqual(
    new Set(['applied 1']),
  );
}
