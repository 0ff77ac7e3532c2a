import { readFileSync } from 'node:fs';
import { describe, expect, jest, test } from '@jest/globals';
import { useChaos } from './chaos-harness.ts';

// A broken promise is broken however rarely: what fails here is not tried again.
jest.retryTimes(0);

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

const startChaos = useChaos();

interface Run {
  violations: { kind: string }[];
  traces: { count: number }[];
  counts: Record<string, number>;
}

async function aMinute(): Promise<Run> {
  const { ended, report, output } = startChaos('--seed', '7', '--minutes', '1', '--faults', faults);
  const code = await ended;
  const [run] = JSON.parse(readFileSync(report, 'utf8')) as [Run];
  const isGood = run.violations.length === 0 && run.traces.every(({ count }) => count > 0);
  if (!isGood) console.log(output());
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
});
