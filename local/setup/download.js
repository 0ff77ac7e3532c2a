import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** Long enough for a slow proxy, short enough to try the next way while somebody watches. */
const ANSWER_WITHIN_MS = 5_000;
/** A slow download may take as long as it wants, as long as something comes. */
const STALL_MS = 30_000;
const TELL_EVERY_MS = 2_000;

/**
 * @typedef {object} DownloadOptions
 * @property {string} url
 * @property {string} file
 * @property {string} label
 * @property {string} sha256
 * @property {(line: string) => void} say
 * @property {AbortSignal} signal
 * @property {number} [answerWithinMs]
 */

/** Fetches a file and refuses it when its SHA-256 is another. @param {DownloadOptions} options */
export async function download({ url, file, label, sha256, say, signal, answerWithinMs = ANSWER_WITHIN_MS }) {
  const watch = new AbortController();
  const giveUp = (/** @type {string} */ reason) => () => watch.abort(new Error(reason));
  let timer = setTimeout(giveUp(`no answer within ${answerWithinMs / 1000} s from ${url}`), answerWithinMs);
  try {
    const answer = await fetch(url, { signal: AbortSignal.any([signal, watch.signal]) });
    if (!answer.ok || answer.body === null) throw new Error(`${url} answered ${answer.status}`);
    const tell = createProgress({ label, total: Number(answer.headers.get('content-length') ?? 0), say });
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(giveUp(`nothing came for ${STALL_MS / 1000} s from ${url}`), STALL_MS);
    };
    await pipeline(
      answer.body,
      async function* (chunks) {
        for await (const chunk of chunks) {
          restart();
          tell(chunk.length);
          yield chunk;
        }
      },
      createWriteStream(file),
    );
  } finally {
    clearTimeout(timer);
  }
  await refuseUnlessSum(file, sha256);
}

/** Deletes a file whose SHA-256 is not the pinned one, and throws. @param {string} file @param {string} sha256 */
export async function refuseUnlessSum(file, sha256) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  const sum = hash.digest('hex');
  if (sum === sha256) return;
  rmSync(file, { force: true });
  throw new Error(`what came is refused: its SHA-256 is ${sum}, pinned is ${sha256}`);
}

/** @param {{ label: string, total: number, say: (line: string) => void }} options */
function createProgress({ label, total, say }) {
  let done = 0;
  let toldAt = 0;
  return (/** @type {number} */ bytes) => {
    done += bytes;
    const now = Date.now();
    if (now - toldAt < TELL_EVERY_MS && done !== total) return;
    toldAt = now;
    say(`  ${label}: ${megabytes(done)}${total > 0 ? ` of ${megabytes(total)}` : ''} MB`);
  };
}

/** @param {number} bytes */
function megabytes(bytes) {
  return (bytes / 1_000_000).toFixed(1);
}
