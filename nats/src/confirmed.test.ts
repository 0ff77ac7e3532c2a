import { describe, expect, test } from '@jest/globals';
import { createConfirmed } from './confirmed.ts';

const stored = (sequence: number) => ({ sequence, duplicate: false });

const remembering = (options: { idsMax?: number; forMs?: number } = {}) => {
  let now = 0;
  const confirmed = createConfirmed({ idsMax: 3, forMs: 100, clock: () => now, ...options });
  return {
    confirmed,
    pass: (ms: number) => {
      now += ms;
    },
  };
};

describe('the memory of confirmed ids', () => {
  test('knows an id with its sequence, and no other', () => {
    const { confirmed } = remembering();
    confirmed.add('a', stored(7));

    expect(confirmed.sequenceOf('a')).toBe(7);
    expect(confirmed.sequenceOf('b')).toBeUndefined();
  });

  test('forgets it when its time is over, whatever was asked or said of it meanwhile', () => {
    const { confirmed, pass } = remembering();
    confirmed.add('a', stored(7));
    pass(99);
    confirmed.add('a', stored(8));
    expect(confirmed.sequenceOf('a')).toBe(7);

    pass(1);

    expect(confirmed.sequenceOf('a')).toBeUndefined();
    confirmed.add('a', stored(8));
    expect(confirmed.sequenceOf('a')).toBe(8);
  });

  test('forgets the oldest when there are too many', () => {
    const { confirmed } = remembering();
    for (const [index, id] of ['a', 'b', 'c', 'd'].entries()) confirmed.add(id, stored(index));

    expect(['a', 'b', 'c', 'd'].map(confirmed.sequenceOf)).toEqual([undefined, 1, 2, 3]);
  });

  test('forgets a tenth of many at a time, the oldest, and never holds more than it may', () => {
    const { confirmed } = remembering({ idsMax: 20 });
    const ids = Array.from({ length: 50 }, (_, index) => `id-${index}`);

    for (const [index, id] of ids.entries()) {
      confirmed.add(id, stored(index));

      const held = ids.filter((one) => confirmed.sequenceOf(one) !== undefined);
      expect(held.length).toBeLessThanOrEqual(20);
      expect(held).toEqual(ids.slice(0, index + 1).slice(-held.length));
      expect(held.length).toBeGreaterThanOrEqual(Math.min(index + 1, 18));
    }
  });

  test('forgets all of them when the stream begins anew, and not for what is told in another order', () => {
    const { confirmed } = remembering();
    confirmed.add('a', stored(50_000));

    confirmed.add('b', stored(49_000));
    confirmed.add('c', { sequence: 3, duplicate: true });
    expect(['a', 'b', 'c'].map(confirmed.sequenceOf)).toEqual([50_000, 49_000, 3]);

    confirmed.add('d', stored(1));
    expect(['a', 'b', 'c', 'd'].map(confirmed.sequenceOf)).toEqual([undefined, undefined, undefined, 1]);
    confirmed.add('e', stored(2));
    expect(confirmed.sequenceOf('d')).toBe(1);
  });

  test('forgets all of them when told to', () => {
    const { confirmed } = remembering();
    confirmed.add('a', stored(7));

    confirmed.forgetAll();

    expect(confirmed.sequenceOf('a')).toBeUndefined();
  });
});
