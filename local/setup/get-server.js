import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf, SetUpError } from './errors.js';
import { cachedName, cacheFolder, checkServer, findServer } from './find.js';
import { withLock } from './lock.js';
import { SERVERS } from './servers.js';

/** @typedef {import('./servers.js').ServerName} ServerName */
/** @typedef {{ env: import('./find.js').Env, say: (line: string) => void, signal: AbortSignal }} Context */

/**
 * One way to fetch a server: into the given empty folder, giving the path of the binary, or throwing the reason.
 * @typedef {{ name: string, fetch: (folder: string, context: Context) => Promise<string> }} Way
 */

const TEMPORARY = '.fetching-';
/** A fetch takes minutes; what is older was left behind by a process that was killed. */
const LEFT_BEHIND_MS = 24 * 3600 * 1000;

/**
 * Finds a server, or fetches it by the first way that gives one that runs. Undefined when one is given by its address.
 * @param {ServerName} name
 * @param {Way[]} ways
 * @param {Context} context
 * @returns {Promise<import('./find.js').Found | undefined>}
 */
export async function getServer(name, ways, context) {
  const { env, say, signal } = context;
  if (env[SERVERS[name].given]) return undefined;
  const search = findServer(name, env);
  if (search.found !== undefined) return search.found;

  const file = join(cacheFolder(env), `${name}.lock`);
  const onWait = (/** @type {number} */ pid) =>
    say(`Waiting for another set-up (process ${pid}) to fetch ${name}.`);
  return withLock({ file, onWait, signal }, async () => {
    // Whoever held the lock before us has fetched it.
    const { found, passedOver } = findServer(name, env);
    return found ?? fetchServer({ name, ways, passedOver, context });
  });
}

/** @param {{ name: ServerName, ways: Way[], passedOver: string[], context: Context }} options */
async function fetchServer({ name, ways, passedOver, context }) {
  const tried = [...passedOver];
  context.say(`Fetching ${name}, which is needed once (${passedOver.join('; ')}).`);
  removeLeftBehind(cacheFolder(context.env));
  for (const way of ways) {
    try {
      const found = await fetchBy({ name, way, context });
      context.say(`  ${name} ${found.version} is ready: ${found.path}`);
      return found;
    } catch (error) {
      context.signal.throwIfAborted();
      const reason = `${way.name}: ${reasonOf(error)}`;
      context.say(`  ${reason}`);
      tried.push(reason);
    }
  }
  const { install, given } = SERVERS[name];
  throw new SetUpError(
    [
      `There is no ${name}, and it could not be fetched. Tried:`,
      ...tried.map((reason) => `  - ${reason}`),
      `Install ${install} and have it on PATH, or set ${given} to one that runs.`,
    ].join('\n'),
  );
}

/**
 * In a folder of its own; the cache gets the binary only when it is whole and has run.
 * @param {{ name: ServerName, way: Way, context: Context }} options
 * @returns {Promise<import('./find.js').Found>}
 */
async function fetchBy({ name, way, context }) {
  const cache = cacheFolder(context.env);
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, TEMPORARY));
  try {
    const binary = await way.fetch(folder, context);
    chmodSync(binary, 0o755);
    const checked = checkServer(name, binary);
    if ('problem' in checked) throw new Error(checked.problem);
    const path = join(cache, cachedName(name, checked.version));
    renameSync(binary, path);
    return { path, version: checked.version, from: 'cache' };
  } finally {
    // A command that was interrupted may still be writing.
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** @param {string} cache */
function removeLeftBehind(cache) {
  for (const entry of readdirSync(cache).filter((file) => file.startsWith(TEMPORARY))) {
    const folder = join(cache, entry);
    const stat = statSync(folder, { throwIfNoEntry: false });
    const age = stat === undefined ? 0 : Date.now() - stat.mtimeMs;
    if (age > LEFT_BEHIND_MS) rmSync(folder, { recursive: true, force: true });
  }
}
