import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach } from '@jest/globals';
import { throwAwayFolder } from './harness.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface Chaos {
  child: ChildProcess;
  /** What it has said so far. */
  output(): string;
  /** Where it writes what it found. */
  report: string;
  ended: Promise<number | null>;
}

/** Starts what `npm run chaos` starts, as it is built; each ends with its test at the latest. */
export function useChaos(): (...args: string[]) => Chaos {
  const ends: (() => void)[] = [];
  afterEach(() => {
    for (const end of ends.splice(0)) end();
  });

  return (...args) => {
    const folder = throwAwayFolder('chaos-test');
    const report = join(folder.path, 'report.json');
    const main = 'chaos/dist/main.js';
    const child = spawn(process.execPath, [main, '--report', report, ...args], { cwd: root });
    ends.push(() => {
      child.kill('SIGKILL');
      folder.remove();
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        output += text;
      });
    }
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    return { child, output: () => output, report, ended };
  };
}
