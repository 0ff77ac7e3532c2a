import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Pace, schedule } from './domain/pacer.ts';
import { deliveriesAt, deliveryOf, timesOf } from './testing/replaying.ts';
import { createTimetable, type Due, type Timetable } from './timetable.ts';

const original: Pace = { speed: 1, maxGapMs: 1_000 };

let timetable: Timetable;
beforeEach(() => {
  timetable = createTimetable(original);
});

const add = (nowMs: number, ...storedAtMs: number[]) => timetable.add(deliveriesAt(...storedAtMs), nowMs);
const putBack = (due: Due) => timetable.putBack(due, due.deliveries);
const take = (nowMs: number): Due => {
  const due = timetable.takeDue(nowMs);
  if (due === undefined) throw new Error('nothing is due');
  return due;
};
/** Takes out all that is held, and says when each was due. */
function dueTimes(): [storedAtMs: number, dueAtMs: number][] {
  const seen: [number, number][] = [];
  for (let at = timetable.nextDueAtMs(); at !== undefined; at = timetable.nextDueAtMs()) {
    for (const storedAtMs of timesOf(take(at).deliveries)) seen.push([storedAtMs, at]);
  }
  return seen;
}

describe('what is added', () => {
  test('begins now, and each other one is due its gap after the one before', () => {
    add(5_000, 100, 120, 150);

    expect(timetable.takeDue(4_999)).toBeUndefined();
    expect(dueTimes()).toEqual([
      [100, 5_000],
      [120, 5_020],
      [150, 5_050],
    ]);
  });

  test('is taken out as far as it fits, and one at least however large it is', () => {
    const large = [0, 1, 2, 3].map((at) => deliveryOf(at, { bytes: at === 3 ? 5_000 : 400 }));
    timetable.add(large, 0);

    expect(timetable.bytes()).toBe(6_200);
    const parts = [1, 2, 3].map(() => timesOf(timetable.takeDue(10, 1_000)?.deliveries ?? []));
    expect(parts).toEqual([[0, 1], [2], [3]]);
    expect(timetable.bytes()).toBe(0);
  });

  test('much later than the timetable was made, or set anew with nothing held, begins now all the same', () => {
    timetable.restart({ sinceMs: 0, nowMs: 0, pace: original });

    add(60_000, 100, 30_000);

    expect(dueTimes()).toEqual([
      [100, 60_000],
      [30_000, 61_000],
    ]);
  });

  test('has its place in stored order, in whatever order it comes', () => {
    add(0, 0);
    take(0);
    add(1, 100, 300);
    add(2, 200, 50);
    add(3, 400);

    expect(dueTimes()).toEqual([50, 100, 200, 300, 400].map((at) => [at, at]));
  });

  test('is due at once where the schedule has passed it, and moves nothing, redelivered or not', () => {
    add(0, 0, 100, 200);
    take(100);
    timetable.add([deliveryOf(0, { deliveries: 2 }), deliveryOf(50)], 130);
    add(140, 300);

    expect(timesOf(take(140).deliveries)).toEqual([0, 50]);
    expect(dueTimes()).toEqual([
      [200, 200],
      [300, 300],
    ]);
  });

  test('and given back before, waits for its turn where that is still ahead', () => {
    add(0, 0);
    take(0);

    timetable.add([deliveryOf(40, { deliveries: 2 }), deliveryOf(80, { deliveries: 3 })], 10);

    expect(dueTimes()).toEqual([
      [40, 40],
      [80, 80],
    ]);
  });

  test.each([
    ['within half a second of its turn is due when it was', 600, 100],
    ['later than that begins anew: there was nothing to replay meanwhile', 601, 601],
  ])('when nothing was held, %s', (_name, nowMs, dueAtMs) => {
    add(0, 0);
    take(0);

    add(nowMs, 100, 150);

    expect(dueTimes()).toEqual([
      [100, dueAtMs],
      [150, dueAtMs + 50],
    ]);
  });

  test('again and again long after the end does not begin a replay', () => {
    add(0, 0, 100);
    take(100);

    timetable.add([deliveryOf(100, { deliveries: 2 })], 60_000);

    expect(take(60_000).isFirst).toBe(false);
  });

  test('from a second outage follows the first after a capped gap', () => {
    add(0, 0, 100);
    take(0);
    add(50, 600_000, 600_100);

    expect(dueTimes()).toEqual([
      [100, 100],
      [600_000, 1_100],
      [600_100, 1_200],
    ]);
  });
});

describe('what is due', () => {
  test('is taken out together, first in turn first, and the first of all is told', () => {
    add(0, 0, 10, 20, 500);

    const first = take(0);
    const second = take(15);

    expect(first).toMatchObject({ isFirst: true, before: undefined, dueAtMs: 0 });
    expect(second).toMatchObject({ isFirst: false, before: { storedAtMs: 0, dueAtMs: 0 }, dueAtMs: 10 });
    expect(timesOf(take(100).deliveries)).toEqual([20]);
    expect([timetable.size(), timetable.nextDueAtMs(), timetable.lastDueAtMs()]).toEqual([1, 500, 500]);
  });

  test('with what was passed among it: the replay stands at the last one in stored order', () => {
    add(0, 0, 100, 5_000);
    take(0);
    timetable.add([deliveryOf(0, { deliveries: 2 })], 150);
    expect(timesOf(take(150).deliveries)).toEqual([100, 0]);

    timetable.restart({ sinceMs: 400, nowMs: 400, pace: { speed: 10, maxGapMs: 1_000 } });

    // 300 of 1,000 ms of the way were waited; of the new way of 490 ms, 70 % are left.
    expect(timetable.nextDueAtMs()).toBeCloseTo(400 + 490 * 0.7);
  });

  test('of one millisecond is in the order of the sequence', () => {
    timetable.add([deliveryOf(7, { sequence: 2 }), deliveryOf(7, { sequence: 1 })], 0);

    expect(take(0).deliveries.map(({ sequence }) => sequence)).toEqual([1, 2]);
  });
});

describe('what could not be applied', () => {
  test('is due anew before those behind it, however many were in flight and in whatever order they failed', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      timetable = createTimetable(original);
      add(0, 0, 100, 200, 300, 400);
      take(0);
      const inFlight = [take(100), take(200), take(300)];

      for (const index of order) putBack(inFlight[index] as Due);
      timetable.restart({ sinceMs: 100, nowMs: 5_000, pace: original });

      expect(dueTimes()).toEqual([
        [100, 5_000],
        [200, 5_100],
        [300, 5_200],
        [400, 5_300],
      ]);
    }
  });

  test('while the one behind it was: only it is due anew, and the others keep their distance', () => {
    add(0, 0, 100, 200, 300);
    take(0);
    const failed = take(100);
    take(200);

    putBack(failed);
    timetable.restart({ sinceMs: 100, nowMs: 1_000, pace: original });

    expect(dueTimes()).toEqual([
      [100, 1_000],
      [300, 1_200],
    ]);
  });

  test('as the first of all begins anew', () => {
    add(0, 0, 100);

    putBack(take(0));
    timetable.restart({ sinceMs: 0, nowMs: 9_000, pace: original });

    expect(take(9_000)).toMatchObject({ isFirst: true });
    expect(dueTimes()).toEqual([[100, 9_100]]);
  });
});

test('cleared, it gives what it held, first in turn first, and the next begins anew', () => {
  add(0, 0, 200, 100);
  take(0);

  expect(timesOf(timetable.clear())).toEqual([100, 200]);
  expect([timetable.size(), timetable.nextDueAtMs(), timetable.lastDueAtMs()]).toEqual([
    0,
    undefined,
    undefined,
  ]);
  add(7_000, 300);
  expect(take(7_000)).toMatchObject({ isFirst: true, dueAtMs: 7_000 });
});

test('says what it holds', () => {
  add(0, 0, 100);

  expect(timesOf(timetable.deliveries())).toEqual([0, 100]);
});

test('in whatever pieces and order a backlog comes, it is due as if it had come at once', () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(gaps, fc.infiniteStream(fc.nat({ max: 5 })), (steps, sizes) => {
      let sum = 0;
      const storedAt = steps.map((step) => {
        sum += step;
        return sum;
      });
      timetable = createTimetable(original);
      add(0, 0);
      take(0);
      const rest = storedAt.slice();
      while (rest.length > 0) add(0, ...rest.splice(0, 1 + (sizes.next().value ?? 0)).reverse());

      const dueAt = schedule(storedAt, { behind: { storedAtMs: 0, dueAtMs: 0 }, pace: original, nowMs: 0 });
      expect(dueTimes()).toEqual(storedAt.map((at, index) => [at, dueAt[index]]));
    }),
  );
});
