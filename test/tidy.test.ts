import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('..', import.meta.url));
const folders = [
  'nats',
  'runtime',
  'third-party-gateway',
  'payment-service',
  'local',
  'bench',
  'chaos',
  'test',
].filter((folder) => existsSync(join(root, folder)));

const walk = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => !/(^|\/)(node_modules|dist|fixtures|results)\//.test(path));

const code = folders.flatMap(walk).filter((path) => /\.(ts|js)$/.test(path));
const isTest = (path: string) => /(\.test|-fixture)\.ts$|\/testing\/|^test\//.test(path);
const sources = code.filter((path) => !isTest(path));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const importsOf = (path: string) =>
  [...read(path).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name = '']) => name);

/** The places that break a rule; a rule without exceptions has none. */
const breaking = (paths: readonly string[], breaks: (path: string) => boolean) => paths.filter(breaks);

describe('the source tree', () => {
  test('is found by these rules', () => {
    expect(sources).toContain('nats/src/messages.ts');
    expect(sources).toContain('local/setup.js');
    expect(importsOf('payment-service/src/record-events.ts')).toContain('./store.ts');
  });

  test('keeps the domain pure: it imports only its own files, and reads no clock and no randomness', () => {
    const domain = sources.filter((path) => path.startsWith('payment-service/src/domain/'));

    expect(domain.length).toBeGreaterThan(1);
    expect(
      breaking(domain, (path) => importsOf(path).some((name) => !/^\.\/[a-z-]+\.ts$/.test(name))),
    ).toEqual([]);
    expect(
      breaking(domain, (path) => /Date\.now|new Date\(\)|Math\.random|performance\./.test(read(path))),
    ).toEqual([]);
  });

  test('imports the nats client only under nats/', () => {
    const others = sources.filter((path) => !/^(nats|bench|chaos)\//.test(path));

    expect(breaking(others, (path) => importsOf(path).includes('nats'))).toEqual([]);
  });

  test('imports mongoose only in the store', () => {
    const others = sources.filter((path) => !path.startsWith('payment-service/src/store-mongo'));

    expect(breaking(others, (path) => importsOf(path).some((name) => name.startsWith('mongoose')))).toEqual(
      [],
    );
  });

  test('imports OpenTelemetry in one file, which is loaded only where there is an endpoint', () => {
    const knows = sources.filter((path) => importsOf(path).some((name) => name.startsWith('@opentelemetry')));
    const loads = sources.filter((path) => importsOf(path).includes('./opentelemetry.ts'));

    expect(knows).toEqual(['runtime/src/opentelemetry.ts']);
    expect(loads).toEqual(['runtime/src/tracing.ts']);
    expect(read('runtime/src/tracing.ts')).toContain("await import('./opentelemetry.ts')");
  });

  test('writes names of subjects and streams only under nats/', () => {
    const others = sources.filter((path) =>
      /^(runtime|third-party-gateway|payment-service|local)\//.test(path),
    );
    const names =
      /['"`](payments\.|dead-letters\.payments|backlog\.payments|payment-consumer|payment-dead-letters|payment-backlog)/;

    expect(breaking(others, (path) => names.test(read(path)))).toEqual([]);
  });

  test('reads the environment only in config files, and in what is not the product', () => {
    const product = sources.filter(
      // What mongosh runs is no part of a service.
      (path) => !/^(local|bench|chaos|payment-service\/mongo)\//.test(path) && !path.endsWith('/config.ts'),
    );

    expect(breaking(product, (path) => read(path).includes('process.env'))).toEqual([]);
  });

  test('has no source file over 250 lines', () => {
    expect(breaking(sources, (path) => read(path).trimEnd().split('\n').length > 250)).toEqual([]);
  });

  test('has no test that sleeps for a fixed time', () => {
    const tests = code.filter((path) => path.endsWith('.test.ts') && path !== 'test/tidy.test.ts');

    expect(breaking(tests, (path) => /await (sleep|pause|setTimeout)\(\d/.test(read(path)))).toEqual([]);
  });
});

describe('ARCHITECTURE.md', () => {
  const named = [...read('ARCHITECTURE.md').matchAll(/^\| `([^`]+\.(?:ts|js))`/gm)].map(
    ([, path = '']) => path,
  );

  test('names every source file in its code map', () => {
    expect(sources.filter((path) => !named.includes(path))).toEqual([]);
  });

  test('names no source file that does not exist', () => {
    expect(named.filter((path) => !code.includes(path))).toEqual([]);
  });
});
