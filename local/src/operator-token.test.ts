import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ConfigError, operatorTokensSetting } from '@paystream/runtime';
import { keepOperatorToken } from './operator-token.ts';
import { temporaryFolder } from './test-fixture.ts';

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const linesOf = (dataDir: string): readonly string[] => {
  try {
    keepOperatorToken(dataDir);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
};

describe('keepOperatorToken', () => {
  test('makes a token that only its owner can read, and an entry that the service takes', () => {
    const dataDir = join(temporaryFolder(), 'not', 'there');

    const { path, entry } = keepOperatorToken(dataDir);

    const token = readFileSync(path, 'utf8').trim();
    expect([path, modeOf(path)]).toEqual([join(dataDir, 'operator-token'), '600']);
    expect(token).toMatch(/^[\w-]{32}$/);
    expect(entry).not.toContain(token);
    expect(operatorTokensSetting.parse(entry)).toEqual([
      { name: 'operator', role: 'operator', tokenHash: createHash('sha256').update(token).digest() },
    ]);
  });

  test('keeps it over the next starts, closes it again, and makes another one elsewhere', () => {
    const dataDir = temporaryFolder();
    const first = keepOperatorToken(dataDir);
    chmodSync(first.path, 0o644);

    expect(keepOperatorToken(dataDir)).toEqual(first);
    expect(modeOf(first.path)).toBe('600');
    expect(keepOperatorToken(temporaryFolder()).entry).not.toBe(first.entry);
  });

  test('takes one that a person wrote there', () => {
    const dataDir = temporaryFolder();
    writeFileSync(join(dataDir, 'operator-token'), 'my-own');

    expect(keepOperatorToken(dataDir).entry).toBe(
      `operator:operator:${createHash('sha256').update('my-own').digest('hex')}`,
    );
  });

  test.each(['', '\n', 'two words', 'x'.repeat(257)])('refuses a file that holds %j', (text) => {
    const dataDir = temporaryFolder();
    const path = join(dataDir, 'operator-token');
    writeFileSync(path, text);

    expect(linesOf(dataDir)).toEqual([
      `${path} holds no token. Remove it, and the next start makes another one.`,
    ]);
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  test('says what is in its way', () => {
    const dataDir = temporaryFolder();
    mkdirSync(join(dataDir, 'operator-token'));

    expect(linesOf(dataDir)).toEqual([
      `The operator token ${join(dataDir, 'operator-token')} cannot be kept (EISDIR).`,
    ]);
  });
});
