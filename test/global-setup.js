// For the whole run: the services as they are shipped, and one real mongod, in which every test file takes a database of
// its own.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tsImport } from 'tsx/esm/api';

const root = fileURLToPath(new URL('..', import.meta.url));

const memory = '/dev/shm';
// The servers of a run take 2 GiB of it; another run may be beside this one.
const roomBytes = 4 * 2 ** 30;

export default async function start(_globalConfig, { globals }) {
  // Nothing to do after `npm run check`. A process with the compiler in it takes a second more to start.
  const built = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-b'], { cwd: root, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`tsc -b failed\n${built.stdout}`);
  const ends = [];
  globalThis.endRun = async () => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  if (globals.dataInMemory && hasRoomInMemory()) {
    const folder = mkdtempSync(join(memory, `paystream-tests-${process.pid}-`));
    ends.push(() => rmSync(folder, { recursive: true, force: true }));
    // Where all tests make their folders.
    process.env.TMPDIR = folder;
  }
  const { resolveServers, startMongod } = await tsImport('../local/src/index.ts', import.meta.url);
  const dataDir = mkdtempSync(join(tmpdir(), 'paystream-test-mongo-'));
  ends.push(() => rmSync(dataDir, { recursive: true, force: true }));
  const mongod = await startMongod({ binary: (await resolveServers()).mongod, dataDir });
  ends.push(() => mongod.stop());
  process.env.TEST_MONGO_URI = mongod.uri;
}

/**
 * These tests ask what our code does with servers that sync, and not how fast a disk is: one that stands still for a second,
 * as those of shared machines do, fails a test that is right.
 */
function hasRoomInMemory() {
  if (!existsSync(memory)) return false;
  // What an interrupted run left there.
  for (const name of readdirSync(memory)) {
    const [, pid] = /^paystream-tests-(\d+)-/.exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(memory, name), { recursive: true, force: true });
  }
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize > roomBytes && freemem() > 2 * roomBytes;
}
