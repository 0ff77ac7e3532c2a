import { expect, test } from '@jest/globals';
import { slopeAnHour } from './footprint-bench.ts';

test('the growth of memory is that of all samples, not of the first and the last', () => {
  // A MiB a second, and one that only shakes.
  expect(slopeAnHour([100, 100.25, 100.5, 100.75, 101])).toBeCloseTo(3_600);
  expect(slopeAnHour([100, 104, 104, 100])).toBeCloseTo(0);
  expect(slopeAnHour([100])).toBe(0);
});
