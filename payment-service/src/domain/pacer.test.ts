import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { gapMs, type Pace, type Position, paceFor, resume, schedule } from './pacer.ts';

const original: Pace = { speed: 1, maxGapMs: 1_000 };
const fresh = { behind: undefined, nowMs: 0 };

describe('the schedule', () => {
  test.each<[string, Pace, number[], number[]]>([
    ['keeps the original gaps at speed 1', original, [50, 70, 170, 171], [0, 20, 120, 121]],
    ['divides the gaps by the speed', { speed: 4, maxGapMs: 1_000 }, [0, 100, 500], [0, 25, 125]],
    ['stretches the gaps at a speed below 1', { speed: 0.5, maxGapMs: 1_000 }, [0, 100], [0, 200]],
    ['caps a quiet night', original, [0, 100, 28_800_000, 28_800_100], [0, 100, 1_100, 1_200]],
    ['caps at a speed below 1 too', { speed: 0.1, maxGapMs: 1_000 }, [0, 99, 200], [0, 990, 1_990]],
    [
      'caps after the division, not before',
      { speed: 4, maxGapMs: 1_000 },
      [0, 3_000, 8_000],
      [0, 750, 1_750],
    ],
    [
      'has everything due at once at infinite speed',
      { speed: Infinity, maxGapMs: 1_000 },
      [0, 5, 9_999],
      [0, 0, 0],
    ],
    ['has messages of one millisecond due together', original, [7, 7, 7], [0, 0, 0]],
    ['of nothing is empty', original, [], []],
  ])('%s', (_name, pace, storedAt, dueAt) => {
    expect(schedule(storedAt, { ...fresh, pace })).toEqual(dueAt);
  });

  const behind = { storedAtMs: 100, dueAtMs: 1_000 };
  test.each<[string, number[], number, number[]]>([
    [
      'is absolute: what is put on it late is due as if it had been in time',
      [120, 150],
      1_500,
      [1_020, 1_050],
    ],
    [
      'has a redelivery that it has passed due now, and does not move for it',
      [40, 300],
      1_100,
      [1_100, 1_200],
    ],
    ['has one of the millisecond that it has reached due now', [100, 130], 1_010, [1_010, 1_030]],
    ['lets what is still ahead wait for its turn, redelivered or not', [140], 1_001, [1_040]],
    ['has only what it has passed due now, however much that is', [1, 2, 100], 1_001, [1_001, 1_001, 1_001]],
  ])('%s', (_name, storedAt, nowMs, dueAt) => {
    expect(schedule(storedAt, { behind, pace: original, nowMs })).toEqual(dueAt);
  });
});

describe('after an interruption', () => {
  const behind = { storedAtMs: 0, dueAtMs: 0 };
  const next = { storedAtMs: 100, dueAtMs: 100 };
  const atOnce: Pace = { speed: Infinity, maxGapMs: 1_000 };

  test.each<[string, Pace, { sinceMs: number; nowMs: number }, number[]]>([
    [
      'a higher speed shortens what is left of the way',
      { speed: 4, maxGapMs: 1_000 },
      { sinceMs: 50, nowMs: 50 },
      [62.5, 87.5],
    ],
    [
      'a lower speed lengthens what is left of the way',
      { speed: 0.5, maxGapMs: 1_000 },
      { sinceMs: 50, nowMs: 50 },
      [150, 350],
    ],
    ['the same speed changes nothing', original, { sinceMs: 50, nowMs: 50 }, [100, 200]],
    ['a lower cap shortens the way too', { speed: 1, maxGapMs: 40 }, { sinceMs: 50, nowMs: 50 }, [70, 110]],
    ['a pause moves everything by its length', original, { sinceMs: 50, nowMs: 10_050 }, [10_100, 10_200]],
    [
      'one that began before the last was due waits the whole way',
      original,
      { sinceMs: -5, nowMs: 7 },
      [107, 207],
    ],
    [
      'one that began when the next was overdue has it due now',
      original,
      { sinceMs: 180, nowMs: 500 },
      [500, 600],
    ],
    ['the rest comes at once at infinite speed', atOnce, { sinceMs: 50, nowMs: 50 }, [50, 50]],
  ])('%s', (_name, pace, times, dueAt) => {
    const resumed = resume(behind, next, { pace, ...times });

    expect(resumed.storedAtMs).toBe(0);
    expect(schedule([100, 200], { behind: resumed, pace, nowMs: times.nowMs })).toEqual(dueAt);
  });

  test('from at once to a pace, the next is a whole gap away', () => {
    const resumed = resume(
      behind,
      { storedAtMs: 100, dueAtMs: 0 },
      { pace: original, sinceMs: 50, nowMs: 50 },
    );

    expect(schedule([100], { behind: resumed, pace: original, nowMs: 50 })).toEqual([150]);
  });

  test('with nothing held the next message is its gap away', () => {
    const resumed = resume(behind, undefined, { pace: original, sinceMs: 10, nowMs: 500 });

    expect(schedule([80], { behind: resumed, pace: original, nowMs: 510 })).toEqual([580]);
  });
});

describe('every schedule', () => {
  const storedTimes = fc
    .array(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 60 })
    .map(runningSums);
  const paces = fc.record({
    speed: fc.oneof(fc.double({ min: 1, max: 1_000, noNaN: true }), fc.constant(Number.POSITIVE_INFINITY)),
    maxGapMs: fc.integer({ min: 1, max: 10_000 }),
  });
  const anyPaces = paces.chain((pace) =>
    fc.double({ min: 0.1, max: 1_000, noNaN: true }).map((speed) => ({ ...pace, speed })),
  );
  const rounding = 1e-6;
  const inOrder = (dueAt: readonly number[], fromMs: number) => {
    let latest = fromMs;
    for (const due of dueAt) {
      expect(due).toBeGreaterThanOrEqual(latest - rounding);
      latest = due;
    }
  };

  test('never takes longer than the original, and has nothing due later than its distance from the first', () => {
    fc.assert(
      fc.property(storedTimes, paces, (storedAt, pace) => {
        const dueAt = schedule(storedAt, { ...fresh, pace });
        dueAt.forEach((due, index) => {
          expect(due).toBeLessThanOrEqual((storedAt[index] ?? 0) - (storedAt[0] ?? 0) + rounding);
        });
      }),
    );
  });

  test('keeps the order of the messages, and no gap above the cap', () => {
    fc.assert(
      fc.property(storedTimes, anyPaces, (storedAt, pace) => {
        const dueAt = schedule(storedAt, { ...fresh, pace });
        dueAt.slice(1).forEach((due, index) => {
          expect(due).toBeGreaterThanOrEqual(dueAt[index] ?? 0);
          expect(due - (dueAt[index] ?? 0)).toBeLessThanOrEqual(pace.maxGapMs + rounding);
        });
      }),
    );
  });

  test('is the same wherever it is looked at: what is behind decides what is ahead', () => {
    fc.assert(
      fc.property(storedTimes, anyPaces, fc.nat(), fc.nat(), (storedAt, pace, at, nowMs) => {
        const dueAt = schedule(storedAt, { ...fresh, pace });
        const index = at % storedAt.length;
        const storedAtMs = storedAt[index] ?? 0;
        const behind = { storedAtMs, dueAtMs: dueAt[index] ?? 0 };
        const rest = storedAt.map((_stored, i) => i).filter((i) => (storedAt[i] ?? 0) > storedAtMs);

        const again = schedule(
          rest.map((i) => storedAt[i] ?? 0),
          { behind, pace, nowMs },
        );

        expect(again).toEqual(rest.map((i) => dueAt[i]));
      }),
    );
  });

  test('moves no message into the past of another, or of now, when the speed changes again and again', () => {
    fc.assert(
      fc.property(
        storedTimes,
        anyPaces,
        fc.array(fc.tuple(anyPaces, fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 5 }),
        (storedAt, first, changes) => {
          let behind: Position = { storedAtMs: storedAt[0] ?? 0, dueAtMs: 0 };
          let dueAt = schedule(storedAt.slice(1), { behind, pace: first, nowMs: 0 });
          let ahead = storedAt.slice(1);
          let nowMs = 0;
          for (const [pace, share] of changes) {
            nowMs += share * ((dueAt.at(-1) ?? nowMs) - nowMs);
            const next = dueAt.findIndex((due) => due > nowMs);
            if (next === -1) return;
            behind =
              next === 0 ? behind : { storedAtMs: ahead[next - 1] ?? 0, dueAtMs: dueAt[next - 1] ?? 0 };
            ahead = ahead.slice(next);
            const coming = { storedAtMs: ahead[0] ?? 0, dueAtMs: dueAt[next] ?? 0 };

            behind = resume(behind, coming, { pace, sinceMs: nowMs, nowMs });
            dueAt = schedule(ahead, { behind, pace, nowMs });

            inOrder(dueAt, nowMs);
          }
        },
      ),
    );
  });

  test('ends no later than the original when the speed changes, as long as it is never below 1', () => {
    fc.assert(
      fc.property(
        storedTimes,
        paces,
        paces,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (storedAt, before, after, share) => {
          const dueAt = schedule(storedAt, { ...fresh, pace: before });
          const nowMs = share * (dueAt.at(-1) ?? 0);
          const next = dueAt.findIndex((due) => due > nowMs);
          if (next <= 0) return;
          const at = (index: number) => ({ storedAtMs: storedAt[index] ?? 0, dueAtMs: dueAt[index] ?? 0 });

          const behind = resume(at(next - 1), at(next), { pace: after, sinceMs: nowMs, nowMs });
          const ahead = storedAt.slice(next);

          schedule(ahead, { behind, pace: after, nowMs }).forEach((due, index) => {
            expect(due).toBeLessThanOrEqual((ahead[index] ?? 0) - (storedAt[0] ?? 0) + rounding);
          });
        },
      ),
    );
  });

  test('has what it has passed due now, and all others due as if it were not there', () => {
    fc.assert(
      fc.property(storedTimes, storedTimes, anyPaces, fc.nat(), (storedAt, late, pace, nowMs) => {
        const behind = { storedAtMs: 2_000, dueAtMs: 0 };
        const passed = late.filter((at) => at <= behind.storedAtMs);
        const ahead = storedAt.map((at) => at + behind.storedAtMs + 1);

        expect(schedule([...passed, ...ahead], { behind, pace, nowMs })).toEqual([
          ...passed.map(() => nowMs),
          ...schedule(ahead, { behind, pace, nowMs }),
        ]);
      }),
    );
  });
});

/** Gaps to times. */
function runningSums(gaps: readonly number[]): number[] {
  let sum = 0;
  return gaps.map((gap) => {
    sum += gap;
    return sum;
  });
}

describe('a gap', () => {
  test('is never negative', () => {
    expect(gapMs(-5, original)).toBe(0);
  });
});

describe('the pace', () => {
  const rules = {
    mode: 'original',
    speed: 1,
    maxGapMs: 1_000,
    finishAtMs: undefined,
    maxAgeMs: 1_000_000,
  } as const;
  const backlog = { oldestStoredAtMs: 0, newestStoredAtMs: 60_000 };

  test.each([
    ['is the one that was set', rules, 100_000, 1, false],
    ['is infinite in the mode instant', { ...rules, mode: 'instant' as const }, 100_000, Infinity, false],
    ['is raised so that the replay is over in time', { ...rules, finishAtMs: 130_000 }, 100_000, 2, false],
    ['is not lowered by a late end', { ...rules, speed: 4, finishAtMs: 400_000 }, 100_000, 4, false],
    ['is infinite when the time is over', { ...rules, finishAtMs: 99_999 }, 100_000, Infinity, false],
    ['is kept at exactly half of the age', rules, 500_000, 1, false],
    ['is infinite, and says so, beyond half of the age', rules, 500_001, Infinity, true],
    ['has no guard where the broker keeps messages for ever', { ...rules, maxAgeMs: 0 }, 9_000_000, 1, false],
  ])('%s', (_name, given, nowMs, speed, guard) => {
    expect(paceFor(given, backlog, nowMs)).toEqual({ pace: { speed, maxGapMs: 1_000 }, guard });
  });
});
