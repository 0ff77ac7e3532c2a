import { describe, expect, test } from '@jest/globals';
import { createRecent } from './recent.ts';
import { collectLog } from './testing/fixture.ts';

const { log } = collectLog();

describe('a recent answer', () => {
  test('is asked for once by all who look at the same time, and by nobody while it is fresh', async () => {
    let asked = 0;
    const recent = createRecent({ ask: async () => ++asked, log, freshMs: 60_000 });

    const together = await Promise.all([recent(), recent(), recent()]);
    const later = await recent();

    expect([...together, later]).toEqual([1, 1, 1, 1]);
    expect(asked).toBe(1);
  });

  test('is asked for anew when it is old', async () => {
    let asked = 0;
    const recent = createRecent({ ask: async () => ++asked, log, freshMs: 0 });

    await recent();
    await recent();

    expect(asked).toBe(2);
  });

  test('is unknown when nobody answers in time, and is not asked for again meanwhile', async () => {
    let asked = 0;
    let answer: (value: number) => void = () => undefined;
    const ask = () => {
      asked += 1;
      return new Promise<number>((resolve) => {
        answer = resolve;
      });
    };
    const recent = createRecent({ ask, log, freshMs: 60_000, withinMs: 10 });

    const early = [await recent(), await recent()];
    answer(7);
    const late = await recent();

    expect(early).toEqual([undefined, undefined]);
    expect(late).toBe(7);
    expect(asked).toBe(1);
  });

  test('is unknown when it is refused, and asked for again', async () => {
    let asked = 0;
    const ask = async () => {
      asked += 1;
      if (asked === 1) throw new Error('the broker is away');
      return asked;
    };
    const recent = createRecent({ ask, log, freshMs: 60_000 });

    expect([await recent(), await recent()]).toEqual([undefined, 2]);
  });
});
