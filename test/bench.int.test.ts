import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { applySettings, runApply } from '../bench/src/apply-bench.ts';
import { backlogSettings, runBacklog } from '../bench/src/backlog-bench.ts';
import { backlogSection } from '../bench/src/backlog-report.ts';
import { benches } from '../bench/src/benches.ts';
import { flowSettings, runFlow } from '../bench/src/flow-bench.ts';
import type { Footprint } from '../bench/src/footprint-bench.ts';
import { growthSettings, runGrowth } from '../bench/src/growth-bench.ts';
import { intakeSettings, runIntake } from '../bench/src/intake-bench.ts';
import { describeMachine, type Machine } from '../bench/src/machine.ts';
import { replaySettings, runVariant } from '../bench/src/replay-bench.ts';
import { drawReplay } from '../bench/src/replay-picture.ts';
import { replaySection } from '../bench/src/replay-report.ts';
import { type Rig, startRig } from '../bench/src/rig.ts';
import { chooseVariants } from '../bench/src/variants.ts';
import { testMongoUri } from './harness.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

let rig: Rig;
let machine: Machine;
const silent = () => undefined;

beforeAll(async () => {
  rig = await startRig({ mongoUri: testMongoUri(), built: true });
  machine = await describeMachine(rig, 0);
});
afterAll(() => rig?.close());

describe('the benches, at a size that shows only that they work', () => {
  test('replay: plain JetStream bursts after an outage, and ours keeps the rhythm', async () => {
    const settings = replaySettings('small');
    const [plainVariant, oursVariant] = chooseVariants(['plain-original', 'ours-1']);
    if (plainVariant === undefined || oursVariant === undefined) throw new Error('there is no such variant');

    const plain = await runVariant(rig, plainVariant, settings);
    const ours = await runVariant(rig, oursVariant, settings);

    expect(plain.numbers).toMatchObject({ events: settings.events, repeats: 0 });
    expect(plain.numbers.appliedMs).toBeLessThan(plain.numbers.originalMs / 2);
    expect(ours.numbers).toMatchObject({ events: settings.events, repeats: 0 });
    // The span is under a second here, and other work on the machine moves its ends.
    expect(Math.abs(ours.numbers.spanOff)).toBeLessThan(0.4);
    expect(ours.numbers.hole.appliedMs).toBeLessThan(settings.holeMs);
    expect(ours.numbers.live.count).toBeGreaterThan(5);
    expect(replaySection([plain, ours], settings, machine)).toContain('Paystream, speed 1');
    expect(drawReplay([plain, ours])).toMatch(/^<svg.*<\/svg>\n$/s);
  });

  test('backlog: live events pass it', async () => {
    const settings = backlogSettings('small');

    const results = await runBacklog(rig, settings, silent);

    expect(results).toHaveLength(1);
    expect(results[0]).toMatchObject({ events: 200, memoryMiB: { max: expect.any(Number) } });
    expect(results[0]?.live.count).toBeGreaterThan(2);
    expect(backlogSection(results, settings, machine)).toContain('| 200 |');
  });
});

describe('the benches of what it can do, at the same size', () => {
  test('intake: each target answers, and what it answered 200 is in its stream', async () => {
    const results = await runIntake(rig, intakeSettings('small'), { say: silent });

    expect(results.map(({ name }) => name)).toEqual([
      'ours',
      'ours-quiet',
      'ours-stripe',
      'plain',
      'plain-synced',
      'floor',
    ]);
    for (const result of results) {
      expect(result).toMatchObject({ lost: 0, refused: 0, failed: 0 });
      expect(result.ok).toBeGreaterThan(20);
    }
  });

  test('apply: ours and the plain design drain the queue, ours without a mistake', async () => {
    const results = await runApply(rig, applySettings('small'), silent);

    expect(results.map(({ name, wrong }) => [name, wrong])).toEqual([
      ['ours', 0],
      ['plain', undefined],
      ['acks', undefined],
      ['bulk-write', undefined],
    ]);
    for (const { perSecond } of results) expect(perSecond.median).toBeGreaterThan(0);
  });

  test('flow: what is answered 200 becomes readable', async () => {
    const { capacity, runs } = await runFlow(rig, flowSettings('small'), silent);

    expect(capacity).toBeGreaterThan(10);
    expect(runs).toHaveLength(1);
    expect(runs[0]).toMatchObject({ share: 0.5, lost: 0, failed: 0 });
    // A fast one is readable within the millisecond in which it was answered.
    expect(runs[0]?.readableMs.p50).toBeGreaterThanOrEqual(0);
    expect(runs[0]?.readableMs.p99).toBeGreaterThan(0);
  });

  test('growth: applies and reads at each size and each length of a history', async () => {
    const { sizes, histories } = await runGrowth(rig, growthSettings('small'), silent);

    expect(sizes.map(({ stored }) => stored)).toEqual([100, 200]);
    for (const { perSecond, read } of sizes) {
      expect(perSecond[0]).toBeGreaterThan(0);
      expect(read.p99).toBeGreaterThan(0);
    }
    expect(histories.map(({ events }) => events)).toEqual([10]);
    expect(histories[0]?.perSecond[0]).toBeGreaterThan(0);
  });

  test('footprint: memory, time to start, and a section for the numbers', async () => {
    const { section, values } = await benches.footprint.run({
      rig,
      asked: { size: 'small', only: undefined },
      machine,
      say: silent,
    });

    const { results }: { results: Footprint[] } = JSON.parse(JSON.stringify(values));
    expect(results.map(({ service }) => service)).toEqual(['third-party-gateway', 'payment-service']);
    for (const { mostMiB, readyMs } of results) {
      expect(mostMiB).toBeGreaterThan(20);
      expect(readyMs).toBeGreaterThan(50);
    }
    expect(section).toContain('| what | goal | measured | met |');
  });
});

describe('npm run bench', () => {
  const bench = (...args: string[]) =>
    promisify(execFile)(process.execPath, ['bench/dist/main.js', ...args], { cwd: root });

  // From the source, as people run them; all else here and in the chaos tests runs as it is built.
  test.each(['bench', 'chaos'])('npm run %s explains itself', async (name) => {
    const { stdout } = await promisify(execFile)('npm', ['run', '--silent', name, '--', '--help'], {
      cwd: root,
    });

    expect(stdout).toContain(`npm run ${name} -- `);
  });

  test('refuses an unknown name with exit code 2', async () => {
    await expect(bench('nothing')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining(
        'there is no bench nothing (benches: intake, apply, flow, growth, footprint, replay, backlog',
      ),
    });
  });
});
