import { describe, expect, test } from '@jest/globals';
import { numbersSection } from './numbers.ts';
import { isGood, reportText } from './report.ts';
import type { Result } from './run.ts';

const injection = (healMs: number | undefined, alone = true) => ({
  ...{ fault: 'kill-broker', target: 'broker', atMs: 1_000, tookMs: 900, alone, healMs, traces: 12 },
});

const good: Result = {
  seed: 7,
  minutes: 1,
  versions: { node: '20.19.0', natsServer: '2.15.2', mongod: '6.0.5' },
  counts: {
    ...{ sent: 100, requests: 150, answered200: 120, answered503: 20, unknown: 10, applied: 98 },
    ...{ duplicates: 20, conflicts: 2, anomalies: 3, deadLetters: 6, lost: 0, invented: 0, twice: 0 },
    longestAnswerMs: 812,
  },
  quietAfterMs: 25_900,
  stoodStillMs: 48,
  injections: [injection(400), injection(1_200), injection(9_000, false)],
  traces: [{ fault: 'kill-broker', trace: 'requests without 200', count: 36 }],
  observed: { redelivered: 5, recognised: 4 },
  memoryMiB: { 'payments-1': 150 },
  violations: [],
};

describe('a run', () => {
  test('is good when nothing is broken and every fault left a trace', () => {
    expect(isGood(good)).toBe(true);
    expect(reportText(good)).toContain('Nothing lost, nothing invented, nothing twice. Seed 7.');
    expect(reportText(good)).toContain('The harness itself stood still for 48 ms at most.');
  });

  test('fails when a fault left no trace, and says which', () => {
    const silent = { ...good, traces: [{ fault: 'poison', trace: 'dead letters', count: 0 }] };

    expect(isGood(silent)).toBe(false);
    expect(reportText(silent)).toContain('No trace of poison');
  });

  test('fails when a promise is broken, and says how to do it again', () => {
    const broken: Result = { ...good, violations: [{ kind: 'lost', what: 'w000001' }] };

    expect(isGood(broken)).toBe(false);
    expect(reportText(broken)).toContain('BROKEN lost (a webhook answered 200 is recorded once): w000001');
    expect(reportText(broken)).toContain('--seed 7');
  });
});

describe('the page of numbers', () => {
  test('names the durability, the seeds, and how long a fault that came alone needed to heal', () => {
    const section = numbersSection([
      good,
      { ...good, seed: 8, stoodStillMs: 90, injections: [injection(undefined)] },
    ]);

    expect(section).toContain('sync_interval: always');
    expect(section).toContain(
      '| 7 | 3 | 100 | 150 | 120 | 20 | 10 | 98 | 20 | 2 | 6 | 5 | 0 | 0 | 0 | 0.8 s | 25.9 s |',
    );
    expect(section).toContain('| `kill-broker` | 4 | 3 | 1.2 s | over a minute |');
    expect(section).toContain('stood still for 90 ms at most. No promise was broken.');
  });
});
