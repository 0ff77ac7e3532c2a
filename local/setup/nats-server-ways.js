import { join } from 'node:path';
import { download } from './download.js';
import { onPath } from './find.js';
import { everyFewSeconds, run } from './run.js';

/** @typedef {import('./get-server.js').Way} Way */

const RELEASES = 'https://github.com/nats-io/nats-server/releases/download';
const RELEASE = '2.15.0';
/** SHA-256 of the release archives, by what Node calls platform and architecture. */
const SUMS = {
  'linux-x64': '5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92',
  'linux-arm64': 'cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112',
};
/** Checked by Go's own checksum database. */
const GO_MODULE = 'github.com/nats-io/nats-server/v2@v2.15.2';

/**
 * The official archive, then a build by Go.
 * @param {{ releases?: string, sums?: Record<string, string>, machine?: string, answerWithinMs?: number }} [options]
 * @returns {Way[]}
 */
export function natsServerWays({ releases = RELEASES, sums = SUMS, machine, answerWithinMs } = {}) {
  return [
    {
      name: `release archive ${RELEASE}`,
      fetch: (folder, context) =>
        fetchRelease({
          folder,
          context,
          releases,
          sums,
          machine,
          ...(answerWithinMs ? { answerWithinMs } : {}),
        }),
    },
    { name: 'go install', fetch: goInstall },
  ];
}

/**
 * @param {{ folder: string, context: import('./get-server.js').Context, releases: string, sums: Record<string, string>,
 *   machine: string | undefined, answerWithinMs?: number }} options
 */
async function fetchRelease({ folder, context, releases, sums, machine, answerWithinMs }) {
  const here = machine ?? `${process.platform}-${process.arch}`;
  const sha256 = sums[here];
  if (sha256 === undefined) throw new Error(`no checksum is pinned for ${here}`);
  const inside = `nats-server-v${RELEASE}-${here.replace('x64', 'amd64')}`;
  const archive = join(folder, 'archive.tar.gz');
  await download({
    url: `${releases}/v${RELEASE}/${inside}.tar.gz`,
    file: archive,
    label: `nats-server ${RELEASE}`,
    sha256,
    say: context.say,
    signal: context.signal,
    ...(answerWithinMs ? { answerWithinMs } : {}),
  });
  await run('tar', ['-xzf', archive, '-C', folder], context);
  return join(folder, inside, 'nats-server');
}

/** @type {Way['fetch']} */
async function goInstall(folder, { env, say, signal }) {
  const go = onPath('go', env);
  if (go === undefined) throw new Error('Go is not installed');
  say('  go install of nats-server, about a minute');
  const done = everyFewSeconds((seconds) => say(`  go install of nats-server: ${seconds} s`));
  try {
    await run(go, ['install', GO_MODULE], { env: { ...env, GOBIN: folder }, cwd: folder, signal });
  } finally {
    done();
  }
  return join(folder, process.platform === 'win32' ? 'nats-server.exe' : 'nats-server');
}
