// For the whole run: the services as they are shipped, and one real mongod, in which every test file takes a database of
// its own.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tsImport } from 'tsx/esm/api';

const root = fileURLToPath(new URL('..', import.meta.url));

export default async function start() {
  // Nothing to do after `npm run check`. A process with the compiler in it takes a second more to start.
  const built = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-b'], { cwd: root, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`tsc -b failed\n${built.stdout}`);
  const { resolveServers, startMongod } = await tsImport('../local/src/index.ts', import.meta.url);
  const dataDir = mkdtempSync(join(tmpdir(), 'paystream-test-mongo-'));
  const mongod = await startMongod({ binary: (await resolveServers()).mongod, dataDir });
  process.env.TEST_MONGO_URI = mongod.uri;
  globalThis.stopTestMongod = async () => {
    await mongod.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
}
