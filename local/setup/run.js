import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * @typedef {object} RunOptions
 * @property {Record<string, string | undefined>} env
 * @property {AbortSignal} signal ends the command
 * @property {string} [cwd]
 * @property {boolean} [show] its output goes to the terminal as it is
 * @property {(line: string) => void} [onLine]
 */

/**
 * Runs a command to its end. Throws with the last line that it wrote when it fails.
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} options
 * @returns {Promise<string[]>} its lines, of both outputs
 */
export async function run(command, args, { env, signal, cwd, show = false, onLine }) {
  const output = show ? 'inherit' : 'pipe';
  const child = spawn(command, args, {
    env,
    signal,
    stdio: ['ignore', output, output],
    ...(cwd ? { cwd } : {}),
  });
  /** @type {string[]} */
  const lines = [];
  for (const input of [child.stdout, child.stderr]) {
    if (input === null) continue;
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      onLine?.(line);
    });
  }
  /** @type {number | string | null} */
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, exitSignal) => resolve(exitCode ?? exitSignal));
  });
  if (code !== 0) throw new Error(lines.findLast((line) => line.trim() !== '') ?? `it ended with ${code}`);
  return lines;
}

/** Says every few seconds that something without a progress of its own still goes on. @param {(seconds: number) => void} tell */
export function everyFewSeconds(tell) {
  const startedAt = Date.now();
  const timer = setInterval(() => tell(Math.round((Date.now() - startedAt) / 1000)), 5_000);
  return () => clearInterval(timer);
}
