import { describe, expect, test } from '@jest/globals';
import { createConfirmed } from './confirmed.ts';

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
    confirmed.add('a', 7);

    expect(confirmed.sequenceOf('a')).toBe(7);
    expect(confirmed.sequenceOf('b')).toBeUndefined();
  });

  test('forgets it when its time is over, whatever was asked or said of it meanwhile', () => {
    const { confirmed, pass } = remembering();
    confirmed.add('a', 7);
    pass(99);
    confirmed.add('a', 8);
    expect(confirmed.sequenceOf('a')).toBe(7);

    pass(1);

    expect(confirmed.sequenceOf('a')).toBeUndefined();
    confirmed.add('a', 8);
    expect(confirmed.sequenceOf('a')).toBe(8);
  });

  test('forgets the oldest when there are too many', () => {
    const { confirmed } = remembering();
    for (const [index, id] of ['a', 'b', 'c', 'd'].entries()) confirmed.add(id, index);

    expect(['a', 'b', 'c', 'd'].map(confirmed.sequenceOf)).toEqual([undefined, 1, 2, 3]);
  });

  test('forgets all of them when told to', () => {
    const { confirmed } = remembering();
    confirmed.add('a', 7);

    confirmed.forgetAll();

    expect(confirmed.sequenceOf('a')).toBeUndefined();
  });
});
