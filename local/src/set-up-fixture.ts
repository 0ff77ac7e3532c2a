import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { dirname, join } from 'node:path';
import { onPath } from '../setup/find.js';
import type { Context } from '../setup/get-server.js';
import { run } from '../setup/run.js';
import { temporaryFolder } from './test-fixture.ts';

/** A machine as the set-up sees it: a PATH with only what a test installs, an empty cache, and what was said. */
export function createMachine() {
  const folder = temporaryFolder();
  const bin = join(folder, 'bin');
  const cache = join(folder, 'cache');
  mkdirSync(bin);
  const said: string[] = [];
  const context: Context = {
    env: { PATH: bin, PAYSTREAM_CACHE: cache },
    say: (line: string) => {
      said.push(line);
    },
    signal: new AbortController().signal,
  };

  /** A program of the test's own, in shell. */
  function install(name: string, script: string): void {
    writeScript(join(bin, name), script);
  }

  /** A program of this machine, such as tar. */
  function borrow(...names: string[]): void {
    for (const name of names) symlinkSync(onPath(name, process.env) ?? name, join(bin, name));
  }

  return { folder, bin, cache, said, context, install, borrow };
}

export function writeScript(file: string, script: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

/** What `nats-server --version` and `mongod --version` print. */
export const printsVersion = {
  nats: (version: string) => `echo "nats-server: v${version}"`,
  mongod: (version: string) => `echo "db version v${version}"`,
};

/** A tar.gz with one program in it, and its SHA-256. */
export async function createArchive(folder: string, { path, script }: { path: string; script: string }) {
  const content = join(mkdtempSync(join(folder, 'content-')));
  writeScript(join(content, path), script);
  const file = join(content, 'archive.tar.gz');
  const options = { env: process.env, signal: new AbortController().signal };
  await run('tar', ['-czf', file, '-C', content, path.split('/')[0] ?? path], options);
  const bytes = readFileSync(file);
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** Stands in the place of a download; counts the requests. */
export async function listenAsDownload(answer: RequestListener) {
  const requests: string[] = [];
  const server: Server = createServer((request, response) => {
    requests.push(request.url ?? '');
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}`, requests, close };
}

export type Download = Awaited<ReturnType<typeof listenAsDownload>>;
