import { setMaxListeners } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type Arguments, help, parseArguments } from './arguments.ts';
import { runMutations } from './mutate.ts';
import { isGood, reportText } from './report.ts';
import { runChaos } from './run.ts';

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
  console.log(`seed ${asked.seed}, ${asked.minutes} minutes, faults: ${asked.faults.join(', ')}`);
  const result = await runChaos({ ...asked, say: console.log, signal });
  writeFileSync(asked.report, `${JSON.stringify(result, undefined, 1)}\n`);
  console.log(`\n${reportText(result)}`);
  return isGood(result) ? 0 : 1;
}
