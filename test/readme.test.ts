import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { identify, messageIdOf } from '@paystream/nats';
import { problems } from '@paystream/runtime';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(`${root}/README.md`, 'utf8');

describe('the README', () => {
  test('lists every error code with its status', () => {
    const listed = [...readme.matchAll(/^\| `([a-z-]+)` \| (\d{3}) \|/gm)].map(([, code, status]) => [
      code,
      Number(status),
    ]);

    expect(listed.sort()).toEqual(
      Object.entries(problems)
        .map(([code, { status }]) => [code, status])
        .sort(),
    );
  });

  test('shows the id that the first webhook really gets', () => {
    const [, sent = ''] = /-d '(\{"txId".*\})'\n```/.exec(readme) ?? [];
    const [, shown] = /"id":"([^"]+)","sequence":1/.exec(readme) ?? [];

    const said = { ...JSON.parse(sent), source: 'x-payment', receivedAt: '2026-01-01T00:00:00.000Z' };

    expect(messageIdOf(identify(said).event)).toBe(shown);
  });

  test('names only files that exist', () => {
    const named = [...readme.matchAll(/`([a-z-]+\/[\w./-]+\.(?:ts|js|json|conf|md))`|\]\(([\w./-]+)\)/g)].map(
      ([, quoted, linked]) => quoted ?? linked ?? '',
    );

    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((path) => !existsSync(`${root}/${path}`))).toEqual([]);
  });

  describe('in what survives what', () => {
    const [, section = ''] = /## What survives what\n([\s\S]*?)\n## /.exec(readme) ?? [];
    const rows = section.split('\n').flatMap((line) => {
      const [, what = '', , shownBy = ''] = line.split(/ ?\| ?/);
      return line.startsWith('| ') && !/^(---|what happens)/.test(what) ? [{ what, shownBy }] : [];
    });
    const tests = rows.flatMap(({ shownBy }) =>
      [...shownBy.matchAll(/`([^`]+\.test\.ts)`: ((?:\*[^*]+\*(?: · )?)+)/g)].flatMap(
        ([, file = '', names = '']) =>
          [...names.matchAll(/\*([^*]+)\*/g)].map(([, name = '']) => ({ file, name })),
      ),
    );

    test('has a row for each of what the tests break, and a test or a run of chaos by its name in each', () => {
      expect(rows.length).toBeGreaterThan(20);
      expect(rows.filter(({ shownBy }) => !/\.test\.ts`: \*|`npm run chaos`/.test(shownBy))).toEqual([]);
      expect(tests.length).toBeGreaterThan(rows.length);
    });

    test.each(tests)('$file: $name', ({ file, name }) => {
      const source = readFileSync(`${root}/${file}`, 'utf8');

      // Behind the bracket that opens a test, in which nothing but its name and its function stands.
      expect(source.replaceAll(/\s+/g, ' ')).toMatch(
        new RegExp(`\\( ?'${name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}', (async )?\\(`),
      );
    });
  });

  test('names only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
    const named = [
      ...readme.matchAll(/npm (?:run )?(start|test|demo|send|gateway|payments|provision|bench|chaos)\b/g),
    ].map(([, name = '']) => name);

    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});
