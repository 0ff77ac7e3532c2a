import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf, SetUpError } from './errors.js';
import { cacheFolder, onPath } from './find.js';
import { withLock } from './lock.js';
import { run } from './run.js';

/** @typedef {import('./find.js').Env} Env */
/** @typedef {{ root: string, env: Env, say: (line: string) => void, signal: AbortSignal }} InstallContext */

/** Runs `npm ci` when node_modules is absent or was made from another package-lock.json. @param {InstallContext} context */
export async function installPackages({ root, env, say, signal }) {
  if (staleness(root) === undefined) return;
  const file = join(cacheFolder(env), `install-${hash(root).slice(0, 12)}.lock`);
  const onWait = (/** @type {number} */ pid) =>
    say(`Waiting for another set-up (process ${pid}) to install the packages.`);
  await withLock({ file, onWait, signal }, async () => {
    const why = staleness(root);
    if (why === undefined) return;
    say(`Installing the packages with npm ci (${why}).`);
    await npmCi({ root, env, signal });
    writeFileSync(markerFile(root), hash(readLock(root)));
  });
}

/** Why the packages must be installed, or undefined when they are those of the lock file. @param {string} root */
export function staleness(root) {
  if (!existsSync(join(root, 'node_modules'))) return 'node_modules is not there';
  const wanted = hash(readLock(root));
  if (readText(markerFile(root)) === wanted) return undefined;
  if (!isInstalledFrom(root)) return 'node_modules was made from another package-lock.json';
  // Installed by hand, with the right result.
  writeFileSync(markerFile(root), wanted);
  return undefined;
}

/** @param {{ root: string, env: Env, signal: AbortSignal }} options */
async function npmCi({ root, env, signal }) {
  // Inside of `npm start` npm names its own script; elsewhere it is on PATH.
  const script = env.npm_execpath?.endsWith('.js') ? env.npm_execpath : undefined;
  const npm = onPath('npm', env);
  if (script === undefined && npm === undefined) {
    throw new SetUpError('There is no npm on PATH. Install it with Node from https://nodejs.org.');
  }
  const [command, first] = script === undefined ? [npm ?? 'npm', []] : [process.execPath, [script]];
  try {
    // tsx runs everything here, so development packages are wanted under NODE_ENV=production too. No package of ours
    // needs its install script.
    const args = [...first, 'ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run(command, args, { cwd: root, env: withoutOuterNpm(env), signal, show: true });
  } catch (error) {
    throw new SetUpError(`npm ci failed (${reasonOf(error)}). What it says is above; then run: npm ci`);
  }
}

/** What `npm start` tells its script would make the inner npm take itself for the same run. @param {Env} env */
export function withoutOuterNpm(env) {
  // Settings (registry, proxies, certificates) stay; what is about this one command goes.
  const outer =
    /^(INIT_CWD|npm_(command|execpath|node_execpath|lifecycle_.*|package_.*)|npm_config_(local_prefix|global|workspaces?|include_workspace_root|dry_run|package_lock_only|omit|only|production|prefix))$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !outer.test(name)));
}

/** npm leaves in node_modules a lock file of what it installed; the packages in it must be those of ours. @param {string} root */
function isInstalledFrom(root) {
  const installed = packagesOf(readText(join(root, 'node_modules/.package-lock.json')));
  const wanted = packagesOf(readLock(root));
  if (installed === undefined || wanted === undefined) return false;
  const isSame = (/** @type {string} */ path) =>
    installed[path]?.version === wanted[path]?.version &&
    installed[path]?.integrity === wanted[path]?.integrity &&
    // Our lock file leaves out where a registry's packages came from.
    (wanted[path]?.resolved ?? installed[path]?.resolved) === installed[path]?.resolved;
  return (
    Object.keys(installed).every((path) => path in wanted && isSame(path)) &&
    // The optional ones for other machines are in our lock file and not installed.
    Object.keys(wanted).every((path) => path === '' || path in installed || isOptional(wanted[path]))
  );
}

/** @typedef {{ version?: string, integrity?: string, resolved?: string, optional?: boolean, devOptional?: boolean }} Package */
/** @typedef {Record<string, Package>} Packages */

/** @param {Package | undefined} entry */
function isOptional(entry) {
  return entry?.optional === true || entry?.devOptional === true;
}

/** @param {string} text @returns {Packages | undefined} */
function packagesOf(text) {
  try {
    return JSON.parse(text).packages;
  } catch {
    return undefined;
  }
}

/** @param {string} root */
function readLock(root) {
  return readText(join(root, 'package-lock.json'));
}

/** @param {string} root */
function markerFile(root) {
  return join(root, 'node_modules/.paystream-lock');
}

/** @param {string} file */
function readText(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** @param {string} text */
function hash(text) {
  return createHash('sha256').update(text).digest('hex');
}
