import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { eventually } from './harness.ts';

// A broken promise is broken however rarely: what fails here is not tried again.
jest.retryTimes(0);

const root = fileURLToPath(new URL('..', import.meta.url));
/** Those by which the promise stands or falls; all of them are a matter of minutes (docs/numbers.md). */
const faults = [
  'kill',
  'lost-publish-ack',
  'lost-consumer-ack',
  'broker-forgets',
  'black-hole-payments-broker',
  'database-errors',
  'stop-payments',
  'poison',
].join(',');

let folder: string;
let output: string;
let child: ChildProcess;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'paystream-chaos-test-'));
  output = '';
});
afterEach(() => {
  child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** As `npm run chaos` does, with its report in a folder of the test. */
function chaos(...args: string[]): Promise<number | null> {
  const main = ['--conditions=@paystream/source', '--import', 'tsx', 'chaos/src/main.ts'];
  child = spawn(process.execPath, [...main, '--report', join(folder, 'report.json'), ...args], { cwd: root });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (text) => {
      output += text;
    });
  }
  return new Promise((resolve) => child.once('close', (code) => resolve(code)));
}

interface Run {
  violations: { kind: string }[];
  traces: { count: number }[];
  counts: Record<string, number>;
}

async function aMinute(): Promise<Run> {
  const code = await chaos('--seed', '7', '--minutes', '1', '--faults', faults);
  const [run] = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as [Run];
  const isGood = run.violations.length === 0 && run.traces.every(({ count }) => count > 0);
  if (!isGood) console.log(output);
  expect(code).toBe(isGood ? 0 : 1);
  return run;
}

/** A machine that stands still makes answers late, and a fault pass unnoticed: that much may be tried once more. */
function isOnlyLate({ violations, traces }: Run): boolean {
  const late = ['slow-answer', 'no-answer', 'not-healed', 'bad-stop'];
  const isMissed = traces.some(({ count }) => count === 0);
  return (violations.length > 0 || isMissed) && violations.every(({ kind }) => late.includes(kind));
}

describe('npm run chaos', () => {
  test('finds nothing lost, nothing invented and nothing twice in a minute of faults', async () => {
    const first = await aMinute();
    const run = isOnlyLate(first) ? await aMinute() : first;

    const { counts, violations, traces } = run;
    expect(violations).toEqual([]);
    expect(counts).toMatchObject({ lost: 0, invented: 0, twice: 0 });
    expect(counts.applied).toBeGreaterThan(1_000);
    for (const seen of ['answered503', 'unknown', 'duplicates', 'conflicts', 'anomalies', 'deadLetters']) {
      expect([seen, (counts[seen] ?? 0) > 0]).toEqual([seen, true]);
    }
    expect(traces.length).toBeGreaterThan(10);
    expect(traces.filter(({ count }) => count === 0)).toEqual([]);
  }, 400_000);

  test('stops at Ctrl-C, and leaves no process behind', async () => {
    const ended = chaos('--seed', '7', '--faults', 'pause-gateway');
    await eventually(() => output, { within: 60_000, until: (text) => text.includes(' s  pause-gateway') });
    const before = childrenOf(child.pid);
    child.kill('SIGINT');

    expect(await ended).toBe(1);
    expect(output).toContain('stopped');
    expect(before.length).toBeGreaterThanOrEqual(6);
    await eventually(() => before.filter(isAlive), { until: (left) => left.length === 0 });
  }, 120_000);
});

function childrenOf(pid: number | undefined): number[] {
  return execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
