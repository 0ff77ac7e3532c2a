import { describe, expect, test } from '@jest/globals';
import { faults } from './faults.ts';
import { createRandom } from './random.ts';
import { createSchedule, type Episode } from './schedule.ts';

const take = (seed: number, count: number): Episode[] => {
  const schedule = createSchedule(faults, createRandom(seed, 1));
  return Array.from({ length: count }, () => schedule.next().value);
};
const names = (episodes: readonly Episode[]) =>
  episodes.map((episode) => episode.map(({ fault, target, seed }) => `${fault.name} ${target} ${seed}`));

describe('the schedule', () => {
  test('is the same for the same seed, and another for another', () => {
    expect(names(take(7, 100))).toEqual(names(take(7, 100)));
    expect(names(take(7, 100))).not.toEqual(names(take(8, 100)));
  });

  test('gives each fault a turn of its own in the first round', () => {
    const first = take(7, faults.length);

    expect(first.every((episode) => episode.length === 1)).toBe(true);
    expect(new Set(first.map(([{ fault }]) => fault.name))).toEqual(new Set(faults.map(({ name }) => name)));
  });

  test('reaches every target of every fault in two rounds', () => {
    const planned = take(7, 2 * faults.length).flat();

    for (const { name, targets } of faults) {
      const reached = planned.filter(({ fault }) => fault.name === name).map(({ target }) => target);
      expect(new Set(reached)).toEqual(new Set(targets));
    }
  });

  test('has pairs from the second round on, and never two faults of one service', () => {
    const pairs = take(7, 20 * faults.length).filter(({ length }) => length === 2);

    expect(pairs.length).toBeGreaterThan(faults.length);
    for (const [first, second] of pairs) {
      const [left, right] = [first, second].map(
        (planned) => /(gateway|payments)-\d/.exec(planned?.target ?? '')?.[0] ?? planned?.target,
      );
      expect(left).not.toBe(right);
    }
  });
});
