import { parseArgs } from 'node:util';
import { faults } from './faults.ts';
import { mutations } from './mutations.ts';

export interface Arguments {
  /** One run for each. */
  seeds: readonly number[];
  minutes: number;
  /** Names of faults. */
  faults: readonly string[];
  perSecond: number;
  /** Where everything is written. */
  report: string;
  writeDocs: boolean;
  /** Names of mutations to be run; none: an ordinary run. */
  mutations: readonly string[];
}

export type Parsed =
  | { kind: 'run'; arguments: Arguments }
  | { kind: 'help' }
  | { kind: 'wrong'; problem: string };

const seedMax = 2_147_483_647;
const limits = { minutesMax: 24 * 60, perSecondMax: 200 };

const optionTypes = {
  seed: { type: 'string' },
  minutes: { type: 'string' },
  faults: { type: 'string' },
  rate: { type: 'string' },
  report: { type: 'string' },
  'write-docs': { type: 'boolean' },
  mutations: { type: 'boolean' },
  only: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What was asked for on the command line. */
export function parseArguments(args: readonly string[], randomSeed: () => number): Parsed {
  try {
    const { values } = parseArgs({ args: [...args], options: optionTypes });
    if (values.help === true) return { kind: 'help' };
    const seeds = (values.seed ?? String(randomSeed()))
      .split(',')
      .flatMap((text) => number(text, seedMax) ?? []);
    if (seeds.length !== (values.seed ?? '').split(',').length) {
      return wrong(`--seed must be a whole number from 1 to ${seedMax}, or several with commas`);
    }
    const minutes = decimal(values.minutes ?? '5');
    if (minutes === undefined) return wrong(`--minutes must be a number up to ${limits.minutesMax}`);
    const perSecond = number(values.rate ?? '12', limits.perSecondMax);
    if (perSecond === undefined) return wrong(`--rate must be from 1 to ${limits.perSecondMax}`);
    const chosen = choose(values.faults);
    if (typeof chosen === 'string') return wrong(`there is no fault ${chosen}`);
    const mutants = chooseMutations(values.mutations ?? false, values.only);
    if (typeof mutants === 'string') return wrong(mutants);
    const report = values.report ?? 'chaos-report.json';
    const writeDocs = values['write-docs'] ?? false;
    return {
      kind: 'run',
      arguments: { seeds, minutes, faults: chosen, perSecond, report, writeDocs, mutations: mutants },
    };
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
}

const wrong = (problem: string): Parsed => ({ kind: 'wrong', problem: `${problem} (more with --help)` });

function number(text: string, max: number): number | undefined {
  const value = Number(text);
  return /^\d{1,10}$/.test(text) && value >= 1 && value <= max ? value : undefined;
}

function decimal(text: string): number | undefined {
  const value = Number(text);
  return /^\d{1,4}(\.\d+)?$/.test(text) && value > 0 && value <= limits.minutesMax ? value : undefined;
}

/** The names that are meant: each word is a name or the beginning of some. A word that is neither comes back. */
function choose(text: string | undefined): string[] | string {
  const names = faults.map(({ name }) => name);
  if (text === undefined) return names;
  const chosen = new Set<string>();
  for (const word of text.split(',').map((part) => part.trim())) {
    const meant = names.filter((name) => name === word || name.startsWith(`${word}-`));
    if (meant.length === 0) return word;
    for (const name of meant) chosen.add(name);
  }
  return [...chosen];
}

function chooseMutations(asked: boolean, only: string | undefined): string[] | string {
  const names = mutations.map(({ name }) => name);
  if (!asked) return only === undefined ? [] : '--only is for --mutations';
  const chosen = only?.split(',') ?? names;
  const unknown = chosen.find((name) => !names.includes(name));
  return unknown === undefined ? chosen : `there is no mutation ${unknown}, only ${names.join(', ')}`;
}

/** The text of `--help`. */
export function help(): string {
  const width = Math.max(...faults.map(({ name }) => name.length));
  const list = faults.map(({ name, what }) => `  ${name.padEnd(width)}   ${what}`).join('\n');
  return `npm run chaos -- [options]

Two gateways, two payment-services, nats-server and mongod as real processes on 127.0.0.1, with a proxy on every link.
Webhooks of known content are sent while faults are injected; then everything that is recorded is read and checked.

  --seed <number>     the same seed gives the same webhooks and the same faults; a new one each time if left out;
                      several with commas are run one after the other
  --minutes <number>  how long faults are injected, 5 if left out; each fault gets a turn, however short that is
  --faults <a,b>      only these; a beginning such as kill or black-hole stands for all that begin so
  --rate <number>     transactions begun in a second, 12 if left out; each is four webhooks or so
  --report <file>     where everything is written, chaos-report.json if left out
  --write-docs        also writes the section of docs/numbers.md
  --mutations         takes safeguards out of a copy of the sources, one at a time: each run must find a violation
  --only <a,b>        only these of ${mutations.map(({ name }) => name).join(', ')}
  --help              this text

${list}

The table comes on the terminal, everything in the report. Exit code 1: a promise was broken, or a fault left no trace.`;
}
