import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, SetUpError } from './errors.js';

/** A lock file without a number in it is being written, or was left by a machine that lost power. */
const UNREADABLE_AFTER_MS = 10_000;

/**
 * One set-up at a time does the task; the others wait for it. The lock of a process that is gone is taken over.
 * @template T
 * @param {{ file: string, onWait: (pid: number) => void, signal: AbortSignal }} lock
 * @param {() => Promise<T>} task
 * @returns {Promise<T>}
 */
export async function withLock({ file, onWait, signal }, task) {
  let told = false;
  while (!tryLock(file)) {
    const owner = ownerOf(file);
    if (owner !== undefined && !told) {
      onWait(owner);
      told = true;
    }
    await sleep(250, undefined, { signal });
  }
  try {
    return await task();
  } finally {
    rmSync(file, { force: true });
  }
}

/** @param {string} file */
function tryLock(file) {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      throw new SetUpError(
        `The cache folder ${dirname(file)} cannot be written (${codeOf(error)}). Set PAYSTREAM_CACHE to another folder.`,
      );
    }
  }
  if (isStale(file)) rmSync(file, { force: true });
  return false;
}

/** @param {string} file @returns {number | undefined} */
function ownerOf(file) {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** @param {string} file */
function isStale(file) {
  const owner = ownerOf(file);
  if (owner === undefined) {
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat !== undefined && Date.now() - stat.mtimeMs > UNREADABLE_AFTER_MS;
  }
  try {
    process.kill(owner, 0);
    return false;
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    return codeOf(error) === 'ESRCH';
  }
}
