import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { parseSync } from '@swc/core';
import { isSafePattern } from 'redos-detector';

const root = fileURLToPath(new URL('..', import.meta.url));

// What reads settings and nothing that comes over a network: who can write those needs no slow pattern to do harm.
const forSettings: ReadonlySet<string> = new Set([
  'nats/src/main.ts',
  'runtime/src/opentelemetry.ts',
  'runtime/src/tracing.ts',
  'third-party-gateway/src/json-path.ts',
]);

interface Pattern {
  pattern: string;
  flags: string;
}

/** Every pattern that stands in a file, found in its syntax tree. */
function patternsIn(file: string): Pattern[] {
  const found: Pattern[] = [];
  const tree = parseSync(readFileSync(join(root, file), 'utf8'), { syntax: 'typescript', target: 'es2022' });
  JSON.stringify(tree, (_key, value) => {
    if (value?.type === 'RegExpLiteral') found.push(value);
    return value;
  });
  return found;
}

const files = ['runtime', 'nats', 'third-party-gateway', 'payment-service']
  .flatMap((workspace) =>
    readdirSync(join(root, workspace, 'src'), { recursive: true, encoding: 'utf8' }).map((file) =>
      join(workspace, 'src', file),
    ),
  )
  .filter((file) => file.endsWith('.ts') && !/\.test\.ts$|\/testing\//.test(file));
const patterns = files
  .filter((file) => !forSettings.has(file))
  .flatMap((file) => patternsIn(file).map(({ pattern, flags }) => [file, pattern, flags] as const));

/** `safe`: of what it tries on the way to a match, no more than that many steps are tried again. */
const judge = (pattern: string, flags: string) =>
  isSafePattern(pattern, {
    caseInsensitive: flags.includes('i'),
    unicode: flags.includes('u'),
    maxScore: 200,
    timeout: 5_000,
  });

describe('a pattern that reads what others send', () => {
  test('is known here, whatever file it stands in', () => {
    expect(patterns.length).toBeGreaterThan(40);
    expect(judge('^a*a*$', '').safe).toBe(false);
    for (const file of files) expect(readFileSync(join(root, file), 'utf8')).not.toContain('new RegExp(');
  });

  test.each(patterns)('in %s takes no time that grows faster than the text: %s', (_file, pattern, flags) => {
    expect(judge(pattern, flags)).toMatchObject({ safe: true, error: null });
  });
});
