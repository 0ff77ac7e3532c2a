import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { SetUpError } from './errors.js';
import { getServer } from './get-server.js';
import { installPackages } from './install.js';
import { mongodWays } from './mongod-ways.js';
import { natsServerWays } from './nats-server-ways.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Installs the packages and gets both servers, whatever of it is missing. Silent when nothing is. Gives the exit code. */
export async function setUp() {
  const interrupt = new AbortController();
  let exitCode = 0;
  process.once('SIGINT', () =>
    interrupt.abort(new SetUpError('The set-up was interrupted.', { exitCode: 130 })),
  );
  process.once('SIGTERM', () =>
    interrupt.abort(new SetUpError('The set-up was stopped.', { exitCode: 143 })),
  );
  const context = { env: readEnv(), say: console.log, signal: interrupt.signal };
  try {
    await installPackages({ ...context, root: ROOT });
    await getServer('nats-server', natsServerWays(), context);
    await getServer('mongod', mongodWays(), context);
  } catch (error) {
    const reason = interrupt.signal.aborted ? interrupt.signal.reason : error;
    if (!(reason instanceof SetUpError)) throw reason;
    console.error(reason.message);
    exitCode = reason.exitCode;
  }
  return exitCode;
}

/** The root `.env` counts here as it does for `npm start`: with MONGO_URI in it, no mongod is fetched. */
function readEnv() {
  const file = join(ROOT, '.env');
  return { ...(existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {}), ...process.env };
}
