import { setMaxListeners } from 'node:events';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writeSection } from '@paystream/local';
import { type Arguments, help, parseArguments } from './arguments.ts';
import { runMutations } from './mutate.ts';
import { numbersSection } from './numbers.ts';
import { isGood, reportText } from './report.ts';
import { type Result, runChaos } from './run.ts';

const docs = fileURLToPath(new URL('../../docs/', import.meta.url));

process.exitCode = await main();

async function main(): Promise<number> {
  const parsed = parseArguments(process.argv.slice(2), () => 1 + Math.floor(Math.random() * 0x7ffffffe));
  if (parsed.kind === 'help') console.log(help());
  if (parsed.kind === 'wrong') console.error(parsed.problem);
  if (parsed.kind !== 'run') return parsed.kind === 'help' ? 0 : 2;
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
  try {
    if (parsed.arguments.mutations.length > 0) {
      return (await runMutations(parsed.arguments, console.log, stopping.signal)) ? 0 : 1;
    }
    return await run(parsed.arguments, stopping.signal);
  } catch (error) {
    console.error(stopping.signal.aborted ? 'stopped' : error);
    return 1;
  }
}

async function run(asked: Arguments, signal: AbortSignal): Promise<number> {
  const results: Result[] = [];
  for (const seed of asked.seeds) {
    console.log(`seed ${seed}, ${asked.minutes} minutes, faults: ${asked.faults.join(', ')}`);
    const result = await runChaos({ ...asked, seed, say: console.log, signal });
    results.push(result);
    // After each, so that a long series leaves something behind whenever it is stopped.
    writeFileSync(asked.report, `${JSON.stringify(results, undefined, 1)}\n`);
    console.log(`\n${reportText(result)}\n`);
  }
  if (asked.writeDocs) writeSection(`${docs}numbers.md`, 'chaos', numbersSection(results));
  return results.every(isGood) ? 0 : 1;
}
