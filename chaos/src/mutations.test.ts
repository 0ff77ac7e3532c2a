import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { faults } from './faults.ts';
import { edited, mutations } from './mutations.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const edits = mutations.flatMap((mutation) => mutation.edits);

describe('each mutation', () => {
  test.each(edits)('finds in $file what it takes out', (edit) => {
    const text = readFileSync(`${root}${edit.file}`, 'utf8');

    expect(edited(text, edit)).toContain(edit.replace);
  });

  test('asks for faults that there are', () => {
    const names = new Set(faults.map(({ name }) => name));

    expect(mutations.flatMap((mutation) => mutation.faults).filter((name) => !names.has(name))).toEqual([]);
  });

  test('says loudly that the text has changed', () => {
    const edit = { file: 'a.ts', find: 'guard', replace: '' };

    expect(() => edited('nothing of it', edit)).toThrow('a.ts has 0 times: guard');
    expect(() => edited('guard, guard', edit)).toThrow('a.ts has 2 times: guard');
  });
});
