import { describe, expect, test } from '@jest/globals';
import { createOneAtATime } from './one-at-a-time.ts';

/** Work that ends when the test says so, and a record of when each began. */
function controlled() {
  const began: string[] = [];
  const ends = new Map<string, (failure?: Error) => void>();
  const work = (name: string) => () => {
    began.push(name);
    return new Promise<string>((resolve, reject) => {
      ends.set(name, (failure) => (failure === undefined ? resolve(name) : reject(failure)));
    });
  };
  return { began, work, end: (name: string, failure?: Error) => ends.get(name)?.(failure) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('work with keys', () => {
  test('goes on side by side where no key is shared', async () => {
    const { began, work, end } = controlled();
    const one = createOneAtATime();

    const both = [one(new Set(['a']), work('first')), one(new Set(['b']), work('second'))];
    expect(began).toEqual(['first', 'second']);

    end('second');
    end('first');
    expect(await Promise.all(both)).toEqual(['first', 'second']);
  });

  test('waits for all that share a key with it, in the order given, and for nothing else', async () => {
    const { began, work, end } = controlled();
    const one = createOneAtATime();
    void one(new Set(['a']), work('first'));
    void one(new Set(['b']), work('second'));
    void one(new Set(['a', 'b']), work('third'));
    void one(new Set(['b', 'c']), work('fourth'));
    void one(new Set(['d']), work('fifth'));
    expect(began).toEqual(['first', 'second', 'fifth']);

    end('first');
    await turn();
    expect(began).not.toContain('third');
    end('second');
    await turn();
    expect(began).toEqual(['first', 'second', 'fifth', 'third']);
    end('third');
    await turn();
    expect(began.at(-1)).toBe('fourth');
  });

  test('that fails says so, and what waits for it goes on', async () => {
    const { began, work, end } = controlled();
    const one = createOneAtATime();
    const first = one(new Set(['a']), work('first'));
    const second = one(new Set(['a']), work('second'));

    end('first', new Error('no'));

    await expect(first).rejects.toThrow('no');
    await turn();
    expect(began).toEqual(['first', 'second']);
    end('second');
    expect(await second).toBe('second');
  });
});
