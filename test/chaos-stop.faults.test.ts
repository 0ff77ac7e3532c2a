import { execFileSync } from 'node:child_process';
import { expect, jest, test } from '@jest/globals';
import { isAlive } from '../local/src/test-fixture.ts';
import { useChaos } from './chaos-harness.ts';
import { eventually } from './harness.ts';

jest.retryTimes(0);

const startChaos = useChaos();

test('npm run chaos stops at Ctrl-C, and leaves no process behind', async () => {
  const { child, output, ended } = startChaos('--seed', '7', '--faults', 'pause-gateway');
  await eventually(output, { within: 60_000, until: (text) => text.includes(' s  pause-gateway') });
  const before = childrenOf(child.pid);
  child.kill('SIGINT');

  expect(await ended).toBe(1);
  expect(output()).toContain('stopped');
  expect(before.length).toBeGreaterThanOrEqual(6);
  await eventually(() => before.filter(isAlive), { until: (left) => left.length === 0 });
}, 120_000);

function childrenOf(pid: number | undefined): number[] {
  return execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(Number);
}
