import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { codeOf } from '../setup/errors.js';
import type { Listener } from './config.ts';
import { portProblem } from './ports.ts';

/** One line for each port that cannot be listened on. */
export async function checkPorts(listeners: readonly Listener[]): Promise<string[]> {
  const problems = await Promise.all(
    listeners.map(async ({ port, name, variable }) => {
      const problem = await portProblem(port);
      if (problem === undefined) return [];
      if (problem === 'in use') {
        return [
          `Port ${port} (${name}) is in use. Stop what listens there or set ${variable} to a free port.`,
        ];
      }
      return [`Port ${port} (${name}) is not allowed for this user. Set ${variable} to a port above 1023.`];
    }),
  );
  return problems.flat();
}

/** Not by `recursive`: in a file system that makes no folders, such as /proc, Node 20 then tries for ever. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}

/** Makes the folder; a line when nothing can be written into it. */
export function checkFolder(folder: string): string[] {
  const probe = join(folder, `.writable-${process.pid}`);
  try {
    makeFolder(folder);
    writeFileSync(probe, '');
    rmSync(probe);
    return [];
  } catch (error) {
    return [`The folder ${folder} cannot be written (${codeOf(error)}). Set DATA_DIR to another one.`];
  }
}
