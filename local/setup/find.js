import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { compareVersions, isOlder, SERVERS } from './servers.js';

/** @typedef {import('./servers.js').ServerName} ServerName */
/** @typedef {Record<string, string | undefined>} Env */
/** @typedef {{ path: string, version: string, from: 'PATH' | 'cache' }} Found */
/** @typedef {{ found: Found | undefined, passedOver: string[] }} Search */

/** Where fetched servers are kept, outside of node_modules. @param {Env} env */
export function cacheFolder(env) {
  if (env.PAYSTREAM_CACHE) return resolve(env.PAYSTREAM_CACHE);
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'paystream');
}

/** The name says what it is, so that another version or machine type on a shared home is another file. @param {string} version */
export function cachedName(/** @type {ServerName} */ name, version) {
  return `${name}-${version}-${process.platform}-${process.arch}`;
}

/**
 * Looks on PATH, then in the cache; never on the network. What it saw and did not take is told, with the reason.
 * @param {ServerName} name
 * @param {Env} env
 * @returns {Search}
 */
export function findServer(name, env) {
  /** @type {string[]} */
  const passedOver = [];
  const installed = onPath(name, env);
  if (installed === undefined) passedOver.push(`PATH: there is no ${name}`);
  for (const path of installed === undefined ? [] : [installed]) {
    const checked = checkServer(name, path);
    if ('version' in checked) return { found: { path, version: checked.version, from: 'PATH' }, passedOver };
    passedOver.push(`PATH: ${checked.problem}`);
  }

  const cached = inCache(name, env);
  for (const path of cached) {
    const checked = checkServer(name, path);
    if ('version' in checked) return { found: { path, version: checked.version, from: 'cache' }, passedOver };
    passedOver.push(`cache: ${checked.problem}`);
  }
  if (cached.length === 0) passedOver.push(`cache: ${cacheFolder(env)} has none`);
  return { found: undefined, passedOver };
}

/**
 * Runs it, since a binary of another system or with a library missing is there and useless all the same.
 * @param {ServerName} name
 * @param {string} path
 * @returns {{ version: string } | { problem: string }}
 */
export function checkServer(name, path) {
  const { version: pattern, versionMin } = SERVERS[name];
  const run = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const version = pattern.exec(run.stdout ?? '')?.[1];
  if (version === undefined) {
    const why = run.error?.message ?? run.stderr.trim().split('\n')[0];
    return { problem: `${path} cannot be run (${why || 'it does not tell its version'})` };
  }
  if (isOlder(version, versionMin)) return { problem: `${path} is ${version}, older than ${versionMin}` };
  return { version };
}

/**
 * @param {string} command
 * @param {Env} env
 * @returns {string | undefined}
 */
export function onPath(command, env) {
  const file = process.platform === 'win32' ? `${command}.exe` : command;
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, file)).find(isExecutable);
}

/** Newest first. @param {ServerName} name @param {Env} env */
function inCache(name, env) {
  const folder = cacheFolder(env);
  const pattern = new RegExp(`^${name}-(\\d+\\.\\d+\\.\\d+)-${process.platform}-${process.arch}$`);
  return listFiles(folder)
    .flatMap((file) => {
      const version = pattern.exec(file)?.[1];
      return version === undefined ? [] : [{ path: join(folder, file), version }];
    })
    .sort((a, b) => compareVersions(b.version, a.version))
    .map(({ path }) => path);
}

/** @param {string} folder @returns {string[]} */
function listFiles(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
