import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSteps } from '../chaos/src/check-steps.ts';
import { check, count } from '../chaos/src/checker.ts';
import type { History } from '../chaos/src/history.ts';
import { createLoad } from '../chaos/src/load.ts';
import { createObserver } from '../chaos/src/observer.ts';
import { createOnlooker, type Onlooker } from '../chaos/src/onlooker.ts';
import { createRandom } from '../chaos/src/random.ts';
import { createSender, startLoad } from '../chaos/src/sender.ts';
import type { Violation } from '../chaos/src/violation.ts';
import { type Cluster, startCluster } from './cluster-harness.ts';
import { eventually } from './harness.ts';

// A busy machine can make an election late; that may be tried again. What is lost once is lost, and stays a failure.
jest.retryTimes(1, { logErrorsBeforeRetry: true });

/** An election of MongoDB begins 10 s after the last word of its primary; one of nats-server within 4 to 9 s. */
const electedWithinMs = 25_000;

let broken: readonly Violation[] = [];
let cluster: Cluster;
let onlooker: Onlooker;
const observer = createObserver();
const appliedAtMs: number[] = [];

beforeAll(async () => {
  cluster = await startCluster((service, line) => {
    observer.onLine(service, line);
    if (line.includes('"outcome":"applied"')) appliedAtMs.push(performance.now());
  });
  onlooker = await createOnlooker(cluster);
}, 120_000);
afterAll(async () => {
  await onlooker?.close();
  await cluster?.close();
});

const whatTheyDo = (urls: readonly string[]) =>
  Promise.all(
    urls.flatMap((url) =>
      ['/readyz', '/replay', '/metrics'].map(async (path) => {
        const response = await fetch(`${url}${path}`);
        const text = await response.text();
        const lines = text
          .split('\n')
          .filter((line) => path !== '/metrics' || /^paystream_(held|deliver|replay|part)/.test(line));
        return `${url}${path}: ${lines.join('\n')}`;
      }),
    ),
  ).then((said) => said.join('\n'));

const longestGap = (timesMs: readonly number[]) => {
  const sorted = timesMs.toSorted((left, right) => left - right);
  return Math.round(Math.max(0, ...sorted.slice(1).map((at, index) => at - (sorted[index] ?? at))));
};

describe('a cluster of three brokers and three database members', () => {
  test('loses nothing and applies nothing twice when the leader of each is killed under load', async () => {
    const sender = createSender(cluster.gatewayUrls);
    const storedAtMs = () =>
      sender.attempts.filter(({ answer }) => answer.kind === 'stored').map(({ endedAtMs }) => endedAtMs);
    /** Both ends of the way work: webhooks are taken, and events applied, that came after now. */
    const untilBothWork = async (more: number) => {
      const [stored, applied] = [storedAtMs().length, appliedAtMs.length];
      await eventually(() => Math.min(storedAtMs().length - stored, appliedAtMs.length - applied), {
        within: 60_000,
        until: (least) => least >= more,
      });
    };
    const load = startLoad(sender, createLoad(createRandom(7, 0)), 8);
    await untilBothWork(100);

    const gaps: Record<string, { intakeMs: number; appliedMs: number }> = {};
    for (const [name, kill] of [
      ['broker', cluster.killStreamLeader],
      ['database', cluster.killPrimary],
    ] as const) {
      const fromMs = performance.now();
      await kill();
      await untilBothWork(100);
      const since = (times: readonly number[]) => times.filter((at) => at >= fromMs - 1_000);
      gaps[name] = { intakeMs: longestGap(since(storedAtMs())), appliedMs: longestGap(since(appliedAtMs)) };
      await cluster.startKilled();
      await untilBothWork(100);
    }
    load.stop();
    await sender.finish(60_000);
    const left = await eventually(() => onlooker.readLeft(), {
      within: 120_000,
      every: 500,
      until: (some) => some.length === 0,
    }).catch(async (error: unknown) => {
      // Who holds it, and what for.
      console.log(await whatTheyDo(cluster.serviceUrls.slice(2)));
      throw error;
    });

    const history: History = {
      ...{ webhooks: sender.webhooks, attempts: sender.attempts, poisons: [], windows: [], stops: [] },
      ...{ crashes: [], unhealed: [], beganAtMs: 0, left, memory: [], steps: [] },
      hasUniqueIndex: await onlooker.hasUniqueIndex(),
      record: await createSteps().take(onlooker.readRecord()),
      deadLetters: await onlooker.readDeadLetters(),
    };
    const violations = check(history);
    const counts = count(history, violations);
    console.log(JSON.stringify({ gaps, counts, observed: observer.totals() }, undefined, 1));
    broken = [...broken, ...violations];
    expect(broken).toEqual([]);
    expect(counts).toMatchObject({ lost: 0, invented: 0, twice: 0 });
    expect(counts.applied).toBeGreaterThan(400);
    // It was under load when they were killed, and somebody noticed.
    expect(gaps.broker?.intakeMs).toBeGreaterThan(100);
    expect(gaps.database?.appliedMs).toBeGreaterThan(1_000);
    for (const gap of Object.values(gaps))
      expect(Math.max(...Object.values(gap))).toBeLessThan(electedWithinMs);
  }, 300_000);
});
