import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { installPackages, staleness, withoutOuterNpm } from '../setup/install.js';
import { nodeProblem } from '../setup/node-version.js';
import { createMachine } from './set-up-fixture.ts';

const express = { version: '5.3.0', integrity: 'sha512-a' };
const forMac = { version: '1.0.0', integrity: 'sha512-b', optional: true };
const lock = {
  packages: { '': { name: 'root' }, 'node_modules/express': express, 'node_modules/for-mac': forMac },
};
const installed = { packages: { 'node_modules/express': express } };

function clone({
  modules = true,
  hidden = installed,
}: {
  modules?: boolean;
  hidden?: object | undefined;
} = {}) {
  const box = createMachine();
  const write = (file: string, value: object) => writeFileSync(join(box.folder, file), JSON.stringify(value));
  write('package-lock.json', lock);
  if (modules) {
    mkdirSync(join(box.folder, 'node_modules'));
    write('node_modules/.package-lock.json', hidden);
  }
  return { ...box, write, root: box.folder };
}

/** Installs what the lock file says, and writes down how it was called. */
const NPM = `
/bin/mkdir -p node_modules
printf '${JSON.stringify(installed)}' > node_modules/.package-lock.json
echo "$@" >> calls
printf '%s' "$npm_command" > outer`;

test('finds nothing to do when the installed packages are those of the lock file', () => {
  const { root } = clone();

  expect(staleness(root)).toBeUndefined();
  expect(staleness(root)).toBeUndefined();
});

test('says that node_modules is not there', () => {
  const { root } = clone({ modules: false });

  expect(staleness(root)).toBe('node_modules is not there');
});

test.each([
  ['another version', { packages: { 'node_modules/express': { ...express, version: '5.2.0' } } }],
  ['other bytes', { packages: { 'node_modules/express': { ...express, integrity: 'sha512-z' } } }],
  ['a package missing', { packages: {} }],
  ['a package too many', { packages: { ...installed.packages, 'node_modules/gone': express } }],
  ['an install that did not end', {}],
])('says that node_modules is stale: %s', (_, hidden) => {
  const { root } = clone({ hidden });

  expect(staleness(root)).toBe('node_modules was made from another package-lock.json');
});

test('notices a lock file that has changed since the install', () => {
  const { root, write } = clone();
  expect(staleness(root)).toBeUndefined();

  write('package-lock.json', { packages: { ...lock.packages, 'node_modules/zod': express } });

  expect(staleness(root)).toBe('node_modules was made from another package-lock.json');
});

test('installs with npm ci once, says why, and not again', async () => {
  const { root, context, install, said } = clone({ modules: false });
  install('npm', NPM);
  const env = { ...context.env, npm_command: 'run-script' };

  await Promise.all([installPackages({ ...context, env, root }), installPackages({ ...context, env, root })]);
  await installPackages({ ...context, env, root });

  expect(said[0]).toBe('Installing the packages with npm ci (node_modules is not there).');
  expect(readFileSync(join(root, 'calls'), 'utf8')).toBe(
    'ci --include=dev --ignore-scripts --no-audit --no-fund\n',
  );
  expect(readFileSync(join(root, 'outer'), 'utf8')).toBe('');
});

test('stops with one line when npm ci fails', async () => {
  const { root, context, install } = clone({ modules: false });
  install('npm', 'exit 7');

  await expect(installPackages({ ...context, root })).rejects.toThrow(
    'npm ci failed (it ended with 7). What it says is above; then run: npm ci',
  );
});

test('stops with one line when there is no npm', async () => {
  const { root, context } = clone({ modules: false });

  await expect(installPackages({ ...context, root })).rejects.toThrow('There is no npm on PATH.');
});

test('keeps the settings of npm and drops what belongs to the outer command', () => {
  const kept = { PATH: '/bin', npm_config_registry: 'r', npm_config_cafile: 'c', npm_config_cache: 'd' };
  const dropped = {
    npm_command: 'start',
    npm_lifecycle_event: 'x',
    npm_package_name: 'y',
    npm_config_omit: 'dev',
  };

  expect(withoutOuterNpm({ ...kept, ...dropped, INIT_CWD: '/x' })).toEqual(kept);
});

test.each(['20.19.0', '20.20.2', '22.1.0', '26.0.0'])('accepts Node %s', (version) => {
  expect(nodeProblem(version)).toBeUndefined();
});

test.each(['12.22.1', '18.20.4', '20.18.3'])('refuses Node %s in one line', (version) => {
  expect(nodeProblem(version)).toBe(
    `Paystream needs Node 20.19 or newer; this is ${version}. Install it from https://nodejs.org.`,
  );
});
