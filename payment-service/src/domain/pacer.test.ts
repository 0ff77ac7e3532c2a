import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  gapMs,
  type Pace,
  type PacedMessage,
  type Position,
  paceFor,
  reschedule,
  schedule,
} from './pacer.ts';

const original: Pace = { speed: 1, maxGapMs: 1_000 };
const messages = (...storedAt: number[]): PacedMessage[] =>
  storedAt.map((storedAtMs) => ({ storedAtMs, deliveries: 1 }));

/** The due times of messages that are put on the schedule one by one, all at `nowMs`. */
function plan(held: readonly PacedMessage[], pace: Pace, nowMs = 0): number[] {
  let position: Position | undefined;
  return held.map((message) => {
    const scheduled = schedule(position, message, { pace, nowMs });
    position = scheduled.position;
    return scheduled.dueAtMs;
  });
}

describe('the schedule', () => {
  test.each<[string, Pace, number[], number[]]>([
    ['keeps the original gaps at speed 1', original, [50, 70, 170, 171], [0, 20, 120, 121]],
    ['divides the gaps by the speed', { speed: 4, maxGapMs: 1_000 }, [0, 100, 500], [0, 25, 125]],
    ['stretches the gaps at a speed below 1', { speed: 0.5, maxGapMs: 1_000 }, [0, 100], [0, 200]],
    ['caps a quiet night', original, [0, 100, 28_800_000, 28_800_100], [0, 100, 1_100, 1_200]],
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
    [
      'has a message that comes out of order due with its neighbour',
      original,
      [0, 100, 40, 120],
      [0, 100, 100, 120],
    ],
  ])('%s', (_name, pace, storedAt, dueAt) => {
    expect(plan(messages(...storedAt), pace)).toEqual(dueAt);
  });

  test('is absolute: what is put on it late is due as if it had been put on it in time', () => {
    const first = schedule(undefined, { storedAtMs: 0, deliveries: 1 }, { pace: original, nowMs: 1_000 });
    const second = schedule(
      first.position,
      { storedAtMs: 20, deliveries: 1 },
      { pace: original, nowMs: 1_500 },
    );

    expect([first.dueAtMs, second.dueAtMs]).toEqual([1_000, 1_020]);
  });

  test('lets a redelivery that is still ahead wait for its turn', () => {
    const first = schedule(undefined, { storedAtMs: 0, deliveries: 2 }, { pace: original, nowMs: 10 });
    const second = schedule(first.position, { storedAtMs: 40, deliveries: 2 }, { pace: original, nowMs: 10 });

    expect([first.dueAtMs, second.dueAtMs]).toEqual([10, 50]);
  });

  test('has a redelivery that it has passed due now, and does not move for it', () => {
    const [first, again, second] = [
      { storedAtMs: 0, deliveries: 1 },
      { storedAtMs: 0, deliveries: 2 },
      { storedAtMs: 300, deliveries: 1 },
    ];

    const one = schedule(undefined, first, { pace: original, nowMs: 0 });
    const two = schedule(one.position, again, { pace: original, nowMs: 250 });
    const three = schedule(two.position, second, { pace: original, nowMs: 260 });

    expect([one.dueAtMs, two.dueAtMs, three.dueAtMs]).toEqual([0, 250, 300]);
  });
});

describe('after an interruption', () => {
  const behind = { storedAtMs: 0, dueAtMs: 0 };

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
    ['a pause moves everything by its length', original, { sinceMs: 50, nowMs: 10_050 }, [10_100, 10_200]],
    [
      'the rest comes at once at infinite speed',
      { speed: Infinity, maxGapMs: 1_000 },
      { sinceMs: 50, nowMs: 50 },
      [50, 50],
    ],
  ])('%s', (_name, pace, times, dueAt) => {
    const result = reschedule(messages(100, 200), pace, { behind, nextDueAtMs: 100, ...times });

    expect(result.dueAtMs).toEqual(dueAt);
    expect(result.position).toEqual({ storedAtMs: 200, dueAtMs: dueAt[1] });
  });

  test('what had not begun begins now', () => {
    const result = reschedule(messages(100, 150), original, {
      behind: undefined,
      nextDueAtMs: undefined,
      sinceMs: 0,
      nowMs: 7_000,
    });

    expect(result.dueAtMs).toEqual([7_000, 7_050]);
  });

  test('with nothing held the next message is its gap away', () => {
    const { position } = reschedule([], original, {
      behind,
      nextDueAtMs: undefined,
      sinceMs: 10,
      nowMs: 500,
    });

    const next = schedule(position, { storedAtMs: 80, deliveries: 1 }, { pace: original, nowMs: 510 });

    expect(next.dueAtMs).toBe(580);
  });

  test('a held redelivery is due now, and the others keep their distance', () => {
    const held = [{ storedAtMs: 0, deliveries: 3 }, ...messages(100, 200)];

    const { dueAtMs } = reschedule(held, original, { behind, nextDueAtMs: 100, sinceMs: 0, nowMs: 1_000 });

    expect(dueAtMs).toEqual([1_000, 1_100, 1_200]);
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
  const rounding = 1e-6;

  test('never takes longer than the original, and has nothing due later than its distance from the first', () => {
    fc.assert(
      fc.property(storedTimes, paces, (storedAt, pace) => {
        const dueAt = plan(messages(...storedAt), pace);
        dueAt.forEach((due, index) => {
          expect(due).toBeLessThanOrEqual((storedAt[index] ?? 0) - (storedAt[0] ?? 0) + rounding);
        });
      }),
    );
  });

  test('keeps the order of the messages, and no gap above the cap', () => {
    fc.assert(
      fc.property(storedTimes, paces, (storedAt, pace) => {
        const dueAt = plan(messages(...storedAt), pace);
        dueAt.slice(1).forEach((due, index) => {
          expect(due).toBeGreaterThanOrEqual(dueAt[index] ?? 0);
          expect(due - (dueAt[index] ?? 0)).toBeLessThanOrEqual(pace.maxGapMs + rounding);
        });
      }),
    );
  });

  test('moves no message into the past of another, or of now, when the speed changes', () => {
    fc.assert(
      fc.property(
        storedTimes,
        paces,
        paces,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (storedAt, before, after, share) => {
          const all = messages(...storedAt);
          const dueAt = plan(all, before);
          const nowMs = share * (dueAt.at(-1) ?? 0);
          const next = dueAt.findIndex((due) => due > nowMs);
          if (next <= 0) return;

          const result = reschedule(all.slice(next), after, {
            behind: { storedAtMs: storedAt[next - 1] ?? 0, dueAtMs: dueAt[next - 1] ?? 0 },
            nextDueAtMs: dueAt[next],
            sinceMs: nowMs,
            nowMs,
          });

          let latest = nowMs;
          for (const due of result.dueAtMs) {
            expect(due).toBeGreaterThanOrEqual(latest - rounding);
            latest = due;
          }
        },
      ),
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
