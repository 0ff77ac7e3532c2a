import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { createTurn } from './turn.ts';

function work(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('createTurn', () => {
  test('is spent when what was begun in it has taken its time, and fresh in the next one', async () => {
    const turn = createTurn({ lastsMs: 20 });

    const before = turn.isSpent();
    work(25);
    const after = turn.isSpent();
    await nextTurn();
    await nextTurn();

    expect([before, after, turn.isSpent()]).toEqual([false, true, false]);
  });

  test('counts nothing that came before its first question', () => {
    const turn = createTurn({ lastsMs: 20 });

    work(25);

    expect(turn.isSpent()).toBe(false);
  });
});
