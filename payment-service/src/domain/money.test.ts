import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sumMinor } from './money.ts';

const max = Number.MAX_SAFE_INTEGER;

describe('sumMinor', () => {
  test.each([
    { amounts: [], totalMinor: 0, exact: true },
    { amounts: [0], totalMinor: 0, exact: true },
    { amounts: [1, 2, 39], totalMinor: 42, exact: true },
    { amounts: [max], totalMinor: max, exact: true },
    { amounts: [max - 1, 1], totalMinor: max, exact: true },
    { amounts: [max, 1], totalMinor: max, exact: false },
    { amounts: [max, max, max], totalMinor: max, exact: false },
  ])('adds $amounts to $totalMinor', ({ amounts, totalMinor, exact }) => {
    expect(sumMinor(amounts)).toEqual({ totalMinor, exact });
  });

  test('takes anything that can be iterated', () => {
    expect(sumMinor(new Set([1, 2]))).toEqual({ totalMinor: 3, exact: true });
  });

  test('gives a safe integer whatever is added in whatever order, and says when it is not the sum', () => {
    const amounts = fc.array(fc.oneof(fc.nat(1_000), fc.maxSafeNat()), { maxLength: 8 });

    fc.assert(
      fc.property(amounts, (list) => {
        const { totalMinor, exact } = sumMinor(list);

        expect(Number.isSafeInteger(totalMinor)).toBe(true);
        expect(sumMinor(list.toReversed())).toEqual({ totalMinor, exact });
        // Taken away again one by one: floating point would not come back to 0 once it had been inexact.
        const left = list.reduce((rest, amount) => rest - BigInt(amount), BigInt(totalMinor));
        expect(left === 0n).toBe(exact);
        expect(left <= 0n).toBe(true);
      }),
    );
  });
});
