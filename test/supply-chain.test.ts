import { describe, expect, test } from '@jest/globals';
import { allowed, licencesOf, pageOf, readPackages, readPage } from '../.ci/licences.js';
import { read } from './compose-file.ts';

interface Manifest {
  workspaces?: string[];
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  overrides?: Record<string, string>;
}
interface Locked {
  version?: string;
  license?: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  hasInstallScript?: boolean;
}

const manifest: Manifest = JSON.parse(read('package.json'));
const manifests = ['package.json', ...(manifest.workspaces ?? []).map((path) => `${path}/package.json`)];
const packages: Record<string, Locked> = readPackages();
const fromElsewhere = Object.entries(packages).filter(
  ([path, { link }]) => path.includes('node_modules/') && link !== true,
);

describe.each(manifests)('%s', (path) => {
  const { dependencies, devDependencies, optionalDependencies, overrides }: Manifest = JSON.parse(read(path));
  const wanted = Object.entries({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
    ...overrides,
  });

  test('asks for exact versions, never for a range, an address or a tag', () => {
    expect(wanted.length).toBeGreaterThan(0);
    expect(wanted.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  test('is what the lock file was made from', () => {
    const folder = path.replace(/\/?package\.json$/, '');
    const locked = packages[folder] as Manifest | undefined;

    expect({ ...locked?.dependencies, ...locked?.devDependencies }).toEqual({
      ...dependencies,
      ...devDependencies,
    });
  });
});

describe('package-lock.json', () => {
  test('names no host to fetch from, so that everybody takes what their own settings say', () => {
    expect(fromElsewhere.length).toBeGreaterThan(300);
    expect(fromElsewhere.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(read('package-lock.json')).not.toContain('://registry');
  });

  test('has the sum of every package', () => {
    // What comes inside of another package is covered by the sum of that one.
    const bare = fromElsewhere.filter(([, locked]) => !('inBundle' in locked));

    expect(
      bare.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path),
    ).toEqual([]);
  });

  test('has the native parts of every platform, whoever wrote it last', () => {
    const natives = ['@unrs/resolver-binding-', '@swc/core-', '@biomejs/cli-', '@esbuild/'];
    const platforms = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];

    for (const native of natives) {
      for (const platform of platforms) {
        const found = fromElsewhere.some(([path]) => path.includes(`node_modules/${native}${platform}`));
        expect([native, platform, found]).toEqual([native, platform, true]);
      }
    }
  });
});

describe('the scripts of packages', () => {
  test('are not run by an installation', () => {
    expect(read('.npmrc').split('\n')).toContain('ignore-scripts=true');
  });

  // With ignore-scripts npm passes over these without a word.
  test('are not what ours wait for: there is none before or after another one', () => {
    const names = Object.keys(manifest.scripts ?? {});

    expect(names).toContain('start');
    expect(
      names.filter((name) => names.includes(name.replace(/^(pre|post)/, '')) && /^(pre|post)/.test(name)),
    ).toEqual([]);
    for (const name of ['start', 'test', 'demo', 'bench', 'chaos'])
      expect(manifest.scripts?.[name]).toMatch(/^node local\/setup\.js && /);
  });

  test('stand only in packages that were seen to work without', () => {
    const withScript = fromElsewhere
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.replace(/^node_modules\//, ''));

    // @scarf/scarf would report the installation to somebody; the others look after binaries that are there already.
    expect(withScript.sort()).toEqual([
      '@parcel/watcher',
      '@scarf/scarf',
      '@swc/core',
      'esbuild',
      'unrs-resolver',
    ]);
  });
});

describe('docs/licences.md', () => {
  test('names what runs in production, as `npm run licences` writes it', () => {
    expect(readPage()).toBe(pageOf(licencesOf(packages)));
  });

  test('has only licences that we take', () => {
    const licences = licencesOf(packages);

    expect(licences.map(({ name }) => name)).toEqual(expect.arrayContaining(['express', 'nats', 'mongoose']));
    expect(licences.map(({ name }) => name)).not.toContain('typescript');
    expect(licences.filter(({ licence }) => !allowed.includes(licence))).toEqual([]);
  });

  test('would show another licence, a missing one and a new package', () => {
    const packagesWith = (more: Record<string, Locked>) => licencesOf({ ...packages, ...more });
    const refused = packagesWith({
      'node_modules/a': { version: '1.0.0', license: 'AGPL-3.0' },
      'node_modules/b': { version: '1.0.0' },
    }).filter(({ licence }) => !allowed.includes(licence));

    expect(refused.map(({ name, licence }) => [name, licence])).toEqual([
      ['a', 'AGPL-3.0'],
      ['b', 'unknown'],
    ]);
    expect(pageOf(packagesWith({ 'node_modules/c': { version: '1.0.0', license: 'MIT' } }))).not.toBe(
      readPage(),
    );
  });
});
