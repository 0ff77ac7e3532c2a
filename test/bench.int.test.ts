import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { backlogSettings, runBacklog } from '../bench/src/backlog-bench.ts';
import { backlogSection } from '../bench/src/backlog-report.ts';
import { describeMachine, type Machine } from '../bench/src/machine.ts';
import { replaySettings, runVariant } from '../bench/src/replay-bench.ts';
import { drawReplay } from '../bench/src/replay-picture.ts';
import { replaySection } from '../bench/src/replay-report.ts';
import { type Rig, startRig } from '../bench/src/rig.ts';
import { chooseVariants } from '../bench/src/variants.ts';
import { testMongoUri } from './harness.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('the benches, at a size that shows only that they work', () => {
  let rig: Rig;
  let machine: Machine;

  beforeAll(async () => {
    rig = await startRig({ mongoUri: testMongoUri() });
    machine = await describeMachine(rig, 0);
  });
  afterAll(() => rig?.close());

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

    const results = await runBacklog(rig, settings, () => undefined);

    expect(results).toHaveLength(1);
    expect(results[0]).toMatchObject({ events: 200, memoryMiB: { max: expect.any(Number) } });
    expect(results[0]?.live.count).toBeGreaterThan(2);
    expect(backlogSection(results, settings, machine)).toContain('| 200 |');
  });
});

describe('npm run bench', () => {
  const bench = (...args: string[]) =>
    promisify(execFile)(
      process.execPath,
      ['--conditions=@paystream/source', '--import', 'tsx', 'bench/src/main.ts', ...args],
      { cwd: root },
    );

  test('explains itself', async () => {
    const { stdout } = await bench('--help');

    expect(stdout).toContain('npm run bench -- <name>');
  });

  test('refuses an unknown name with exit code 2', async () => {
    await expect(bench('nothing')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no bench nothing (benches: replay, backlog'),
    });
  });
});
