// One real mongod for the whole run; every test file takes a database of its own in it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tsImport } from 'tsx/esm/api';

export default async function start() {
  const { resolveServers, startMongod } = await tsImport('../local/src/index.ts', import.meta.url);
  const dataDir = mkdtempSync(join(tmpdir(), 'paystream-test-mongo-'));
  const mongod = await startMongod({ binary: (await resolveServers()).mongod, dataDir });
  process.env.TEST_MONGO_URI = mongod.uri;
  globalThis.stopTestMongod = async () => {
    await mongod.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
}
