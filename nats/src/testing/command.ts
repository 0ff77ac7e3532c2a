import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface CommandResult {
  code: number | null;
  out: string;
  err: string;
  ms: number;
}

/** `npm run provision` as a process of its own: as the root's package.json spells it, or as it is built. */
export function runProvision(
  args: string[],
  env: Record<string, string> = {},
  { npm = false } = {},
): Promise<CommandResult> {
  const command = npm
    ? ['npm', 'run', '--silent', 'provision', '--']
    : [process.execPath, 'nats/dist/main.js'];
  // What a developer has set for the services must not decide a test.
  const settings = Object.entries({ DUPLICATE_WINDOW: '10m', REPLAY_MODE: 'original', ...env }).map(
    ([name, value]) => `${name}=${value}`,
  );
  const began = performance.now();
  const child = spawn('env', [...settings, ...command, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result: CommandResult = { code: null, out: '', err: '', ms: 0 };
  child.stdout.on('data', (piece) => {
    result.out += piece;
  });
  child.stderr.on('data', (piece) => {
    result.err += piece;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...result, code, ms: performance.now() - began }));
  });
}
