import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { getServer } from '../setup/get-server.js';
import { natsServerWays } from '../setup/nats-server-ways.js';
import { freePort } from './ports.ts';
import {
  createArchive,
  createMachine,
  type Download,
  listenAsDownload,
  printsVersion,
  writeScript,
} from './set-up-fixture.ts';

const here = `${process.platform}-${process.arch}`;
const machine = 'linux-x64';
const inArchive = 'nats-server-v2.15.0-linux-amd64/nats-server';
const cached = (version: string) => `nats-server-${version}-${here}`;

let download: Download | undefined;
afterEach(async () => {
  await download?.close();
  download = undefined;
});

async function setting({ script = printsVersion.nats('2.15.0') } = {}) {
  const box = createMachine();
  box.borrow('tar', 'gzip');
  const archive = await createArchive(box.folder, { path: inArchive, script });
  const served = { bytes: archive.bytes, status: 200 };
  download = await listenAsDownload((_, response) =>
    response.writeHead(served.status, { 'content-length': served.bytes.length }).end(served.bytes),
  );
  const ways = natsServerWays({ releases: download.url, sums: { [machine]: archive.sha256 }, machine });
  const requests = download.requests;
  return { ...box, served, requests, get: () => getServer('nats-server', ways, box.context) };
}

test('takes the nats-server on PATH when it is new enough, without any request', async () => {
  const { get, install, bin, requests, said } = await setting();
  install('nats-server', printsVersion.nats('2.11.0'));

  const found = await get();

  expect(found).toEqual({ path: join(bin, 'nats-server'), version: '2.11.0', from: 'PATH' });
  expect(requests).toEqual([]);
  expect(said).toEqual([]);
});

test('passes over an older one on PATH, says why, and fetches the release archive into the cache', async () => {
  const { get, install, bin, cache, requests, said } = await setting();
  install('nats-server', printsVersion.nats('2.10.29'));

  const found = await get();

  expect(found).toEqual({ path: join(cache, cached('2.15.0')), version: '2.15.0', from: 'cache' });
  expect(requests).toEqual(['/v2.15.0/nats-server-v2.15.0-linux-amd64.tar.gz']);
  expect(said[0]).toContain(`PATH: ${bin}/nats-server is 2.10.29, older than 2.11.0`);
  expect(said.join('\n')).toMatch(/nats-server 2\.15\.0: \d+\.\d of \d+\.\d MB/);
  expect(readdirSync(cache)).toEqual([cached('2.15.0')]);
});

test('takes the cached one, the newest of several, without any request', async () => {
  const { get, cache, requests } = await setting();
  for (const version of ['2.9.0', '2.14.1', '2.15.2']) {
    writeScript(join(cache, cached(version)), printsVersion.nats(version));
  }

  const found = await get();

  expect(found).toEqual({ path: join(cache, cached('2.15.2')), version: '2.15.2', from: 'cache' });
  expect(requests).toEqual([]);
});

test('does not look for a server whose address is given', async () => {
  const { get, context, requests } = await setting();
  Object.assign(context.env, { NATS_URI: 'nats://elsewhere:4222' });

  expect(await get()).toBeUndefined();
  expect(requests).toEqual([]);
});

test('refuses a corrupted archive, deletes it, and goes on to go install', async () => {
  const { get, install, cache, served, said } = await setting();
  served.bytes = Buffer.concat([served.bytes.subarray(0, -1), Buffer.from('!')]);
  install('go', `printf '#!/bin/sh\\necho "nats-server: v2.15.2"\\n' > "$GOBIN/nats-server"`);

  const found = await get();

  expect(found?.version).toBe('2.15.2');
  expect(said.join('\n')).toMatch(
    /release archive 2\.15\.0: what came is refused: its SHA-256 is [0-9a-f]{64}, pinned is/,
  );
  expect(readdirSync(cache)).toEqual([cached('2.15.2')]);
});

test('names every way with its reason, and what to install, when none gives a server', async () => {
  const { get, served, cache } = await setting();
  served.status = 404;

  const failure = get();

  await expect(failure).rejects.toThrow('There is no nats-server, and it could not be fetched. Tried:');
  await expect(failure).rejects.toThrow('  - PATH: there is no nats-server');
  await expect(failure).rejects.toThrow(`  - cache: ${cache} has none`);
  await expect(failure).rejects.toThrow(/ {2}- release archive 2\.15\.0: http:.*\.tar\.gz answered 404/);
  await expect(failure).rejects.toThrow('  - go install: Go is not installed');
  await expect(failure).rejects.toThrow(
    /Install nats-server 2\.11 or newer .*, or set NATS_URI to one that runs\./,
  );
  expect(readdirSync(cache)).toEqual([]);
});

test('tells why go install failed', async () => {
  const { get, served, install } = await setting();
  served.status = 503;
  install('go', 'echo "go: no route to the module" >&2; exit 1');

  await expect(get()).rejects.toThrow('  - go install: go: no route to the module');
});

test('does not fetch an archive for which no checksum is pinned', async () => {
  const { context, requests } = await setting();
  const ways = natsServerWays({ releases: 'http://127.0.0.1:1', machine: 'darwin-arm64' });

  const failure = getServer('nats-server', ways, context);

  await expect(failure).rejects.toThrow('release archive 2.15.0: no checksum is pinned for darwin-arm64');
  expect(requests).toEqual([]);
});

test('refuses a fetched binary that does not run on this machine', async () => {
  const { get, cache } = await setting({
    script: 'echo "libmissing.so: cannot open shared object" >&2; exit 127',
  });

  await expect(get()).rejects.toThrow(/cannot be run \(libmissing\.so: cannot open shared object\)/);
  expect(readdirSync(cache)).toEqual([]);
});

test('gives up quickly on a download that does not answer', async () => {
  const { context } = createMachine();
  download = await listenAsDownload(() => {});
  const ways = natsServerWays({ releases: download.url, machine, answerWithinMs: 50 });

  await expect(getServer('nats-server', ways, context)).rejects.toThrow(
    /no answer within 0\.05 s from http:/,
  );
});

test('says which host it could not reach', async () => {
  const { context } = createMachine();
  const port = await freePort();
  const ways = natsServerWays({ releases: `http://127.0.0.1:${port}`, machine });

  await expect(getServer('nats-server', ways, context)).rejects.toThrow(
    `release archive 2.15.0: connect ECONNREFUSED 127.0.0.1:${port}`,
  );
});

test('lets a slow download finish, since something keeps coming', async () => {
  const { context, borrow, folder } = createMachine();
  borrow('tar', 'gzip');
  const { bytes, sha256 } = await createArchive(folder, {
    path: inArchive,
    script: printsVersion.nats('2.15.0'),
  });
  const answerWithinMs = 200;
  download = await listenAsDownload((_, response) => {
    const middle = Math.floor(bytes.length / 2);
    response.write(bytes.subarray(0, middle));
    setTimeout(() => response.end(bytes.subarray(middle)), 2 * answerWithinMs);
  });
  const ways = natsServerWays({
    releases: download.url,
    sums: { [machine]: sha256 },
    machine,
    answerWithinMs,
  });

  expect((await getServer('nats-server', ways, context))?.version).toBe('2.15.0');
});

test('fetches once when two set-ups run at once, and gives it to both', async () => {
  const { get, requests, said, cache } = await setting();

  const both = await Promise.all([get(), get()]);

  expect(both[0]).toEqual(both[1]);
  expect(requests).toHaveLength(1);
  expect(said.join('\n')).toContain(
    `Waiting for another set-up (process ${process.pid}) to fetch nats-server.`,
  );
  expect(readdirSync(cache)).toEqual([cached('2.15.0')]);
});

test('takes over the lock of a set-up that died', async () => {
  const { get, cache } = await setting();
  mkdirSync(cache, { recursive: true });
  // Above the largest process id that Linux gives.
  writeFileSync(join(cache, 'nats-server.lock'), '4194305');

  expect((await get())?.version).toBe('2.15.0');
});

test('names the variable that moves a cache folder that cannot be written', async () => {
  const { get, context, folder } = await setting();
  writeFileSync(join(folder, 'file'), '');
  context.env.PAYSTREAM_CACHE = join(folder, 'file', 'cache');

  await expect(get()).rejects.toThrow(
    `The cache folder ${folder}/file/cache cannot be written (ENOTDIR). Set PAYSTREAM_CACHE to another folder.`,
  );
});
