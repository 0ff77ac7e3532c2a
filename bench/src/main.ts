import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { table, writeSection } from '@paystream/local';
import { type Arguments, help, parseArguments } from './arguments.ts';
import { backlogSettings, runBacklog } from './backlog-bench.ts';
import { backlogSection, backlogTable } from './backlog-report.ts';
import { describeMachine, loadNow, machineLine } from './machine.ts';
import { replaySettings, runVariant, type VariantResult } from './replay-bench.ts';
import { drawReplay } from './replay-picture.ts';
import { replaySection, replayTable } from './replay-report.ts';
import { type Rig, startRig } from './rig.ts';
import { chooseVariants } from './variants.ts';

const results = fileURLToPath(new URL('../results/', import.meta.url));
const docs = fileURLToPath(new URL('../../docs/', import.meta.url));

process.exitCode = await main();

async function main(): Promise<number> {
  const parsed = parseArguments(process.argv.slice(2));
  if (parsed.kind === 'help') console.log(help);
  if (parsed.kind === 'wrong') console.error(parsed.problem);
  if (parsed.kind !== 'run') return parsed.kind === 'help' ? 0 : 2;
  const load1m = loadNow();
  const starting = startRig();
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => reject(new Error('stopped')));
  });
  try {
    const work = starting.then((rig) => runBench(rig, parsed.arguments, load1m));
    await Promise.race([work, interrupted]);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    const rig = await starting.catch(() => undefined);
    await rig?.close();
  }
}

async function runBench(rig: Rig, asked: Arguments, load1m: number): Promise<void> {
  const machine = await describeMachine(rig, load1m);
  console.log(machineLine(machine));
  const write = (values: unknown) => {
    mkdirSync(results, { recursive: true });
    writeFileSync(`${results}${asked.name}.json`, `${JSON.stringify({ machine, values }, undefined, 1)}\n`);
  };
  switch (asked.name) {
    case 'replay': {
      const settings = replaySettings(asked.size);
      const done: VariantResult[] = [];
      for (const variant of chooseVariants(asked.only)) {
        console.log(`${variant.title} ...`);
        done.push(await runVariant(rig, variant, settings));
      }
      const { head, rows } = replayTable(done);
      console.log(`\n${table(head, rows)}\n\nMilliseconds. What each column is: docs/numbers.md.`);
      write({ settings, results: done });
      if (!asked.writeDocs) return;
      writeSection(`${docs}numbers.md`, 'replay', replaySection(done, settings, machine));
      writeFileSync(`${docs}replay.svg`, drawReplay(done));
      return;
    }
    case 'backlog': {
      const settings = backlogSettings(asked.size);
      const done = await runBacklog(rig, settings, console.log);
      const { head, rows } = backlogTable(done);
      console.log(`\n${table(head, rows)}`);
      write({ settings, results: done });
      if (asked.writeDocs)
        writeSection(`${docs}numbers.md`, 'backlog', backlogSection(done, settings, machine));
      return;
    }
    default:
      asked.name satisfies never;
  }
}
