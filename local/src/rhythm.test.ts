import { describe, expect, test } from '@jest/globals';
import { quantile, rhythmOf } from './rhythm.ts';

const came = [0, 20, 120, 620];

describe('rhythmOf', () => {
  test('finds no error where every distance is the original one', () => {
    const events = came.map((storedAt) => ({ storedAt, appliedAt: 9_000 + storedAt }));

    expect(rhythmOf(events)).toEqual({ originalMs: 620, appliedMs: 620, gapErrorsMs: [0, 0, 0] });
  });

  test('compares with the distances that the speed gives', () => {
    const events = came.map((storedAt) => ({ storedAt, appliedAt: 9_000 + storedAt / 4 }));

    expect(rhythmOf(events, 4)).toEqual({ originalMs: 620, appliedMs: 155, gapErrorsMs: [0, 0, 0] });
  });

  test('takes the events in the order in which they came, and tells each gap that is off', () => {
    const events = [
      { storedAt: 120, appliedAt: 9_130 },
      { storedAt: 0, appliedAt: 9_000 },
      { storedAt: 20, appliedAt: 9_015 },
    ];

    expect(rhythmOf(events)).toEqual({ originalMs: 120, appliedMs: 130, gapErrorsMs: [5, 15] });
  });

  test('refuses to judge nothing', () => {
    expect(() => rhythmOf([])).toThrow('nothing was applied');
  });
});

describe('quantile', () => {
  test.each([
    [0.5, 51],
    [0.99, 100],
    [1, 100],
  ])('of 1 to 100 at %f is %i', (share, value) => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);

    expect(quantile(values, share)).toBe(value);
  });

  test('of nothing is 0', () => {
    expect(quantile([], 0.5)).toBe(0);
  });
});
