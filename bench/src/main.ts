import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { table, writeSection } from '@paystream/local';
import { type Arguments, type BenchName, help, parseArguments } from './arguments.ts';
import { benches } from './benches.ts';
import { describeMachine, loadNow, machineLine } from './machine.ts';
import { type Rig, startRig } from './rig.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const results = `${root}bench/results/`;
const docs = `${root}docs/`;

process.exitCode = await main();

async function main(): Promise<number> {
  const parsed = parseArguments(process.argv.slice(2));
  if (parsed.kind === 'help') console.log(help);
  if (parsed.kind === 'wrong') console.error(parsed.problem);
  if (parsed.kind !== 'run') return parsed.kind === 'help' ? 0 : 2;
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => reject(new Error('stopped')));
  });
  try {
    for (const name of parsed.arguments.names) await runOne(name, parsed.arguments, interrupted);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

/** Each bench has servers of its own, so that none inherits what another has left. */
async function runOne(name: BenchName, asked: Arguments, interrupted: Promise<never>): Promise<void> {
  const { built } = benches[name];
  if (built) build();
  const load1m = loadNow();
  const starting = startRig({ built });
  try {
    await Promise.race([starting.then((rig) => measure({ name, rig, asked, load1m })), interrupted]);
  } finally {
    const rig = await starting.catch(() => undefined);
    await rig?.close();
  }
}

function build(): void {
  const { status, stdout } = spawnSync(`${root}node_modules/.bin/tsc`, ['-b'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the services cannot be built\n${stdout}`);
}

interface Measuring {
  name: BenchName;
  rig: Rig;
  asked: Arguments;
  load1m: number;
}

async function measure({ name, rig, asked, load1m }: Measuring): Promise<void> {
  const machine = await describeMachine(rig, load1m);
  console.log(`\n${name}\n${machineLine(machine)}`);
  const done = await benches[name].run({ rig, asked, machine, say: console.log });
  for (const { head, rows } of done.tables) console.log(`\n${table(head, rows)}`);
  console.log('\nWhat each column is: docs/numbers.md.');
  mkdirSync(results, { recursive: true });
  const values = `${JSON.stringify({ machine, values: done.values }, undefined, 1)}\n`;
  writeFileSync(`${results}${name}.json`, values);
  if (!asked.writeDocs) return;
  writeSection(`${docs}numbers.md`, name, done.section);
  for (const [file, text] of Object.entries(done.files ?? {})) writeFileSync(`${docs}${file}`, text);
}
