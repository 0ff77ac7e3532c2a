import { parseArgs } from 'node:util';

export const benchNames = ['replay', 'backlog'] as const;
export type BenchName = (typeof benchNames)[number];

export interface Arguments {
  name: BenchName;
  size: Size;
  /** Only these variants; undefined: all. */
  only: string[] | undefined;
  writeDocs: boolean;
}

/** `full` is what docs/numbers.md shows; `small` shows that the bench works. */
export type Size = 'full' | 'small' | number;

export type Parsed =
  | { kind: 'run'; arguments: Arguments }
  | { kind: 'help' }
  | { kind: 'wrong'; problem: string };

// Bounds the load and the time: a replay of 5,000 events takes 100 s, and a backlog is written at 1,000 a second.
const sizeMax = { replay: 5_000, backlog: 200_000 } as const;
const sizeMin = 20;

export const help = `npm run bench -- <name> [options]

  replay     what becomes of a backlog: plain JetStream beside ours, on the same rhythm (about 4 minutes)
  backlog    how long live payments wait behind 50,000 messages, and what memory that takes (about 3 minutes)

  --size <small|full|number>   how many events; full is the default
  --only <a,b>                 replay: only these of plain-original, plain-original-new, plain-instant, ours-1, ours-4
  --write-docs                 also writes the section of docs/numbers.md, and docs/replay.svg
  --help                       this text

Everything runs on 127.0.0.1 with a broker, a database and services of its own in a throw-away folder.
The table comes on the terminal, all measured values in bench/results/<name>.json.`;

const optionTypes = {
  size: { type: 'string' },
  only: { type: 'string' },
  'write-docs': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What was asked for on the command line. */
export function parseArguments(args: readonly string[]): Parsed {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: optionTypes,
      allowPositionals: true,
    });
    if (values.help === true) return { kind: 'help' };
    const [name, ...others] = positionals;
    if (name === undefined) return wrong('which one?');
    if (!isBenchName(name)) return wrong(`there is no bench ${name}`);
    if (others.length > 0) return wrong(`one at a time, not also ${others.join(' ')}`);
    const size = sizeFrom(values.size ?? 'full', name);
    if (size === undefined) {
      return wrong(`--size must be small, full or a number from ${sizeMin} to ${sizeMax[name]}`);
    }
    const only = values.only?.split(',');
    return { kind: 'run', arguments: { name, size, only, writeDocs: values['write-docs'] ?? false } };
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
}

const wrong = (problem: string): Parsed => ({
  kind: 'wrong',
  problem: `${problem} (benches: ${benchNames.join(', ')}; more with --help)`,
});

function isBenchName(name: string): name is BenchName {
  return benchNames.some((known) => known === name);
}

function sizeFrom(text: string, name: BenchName): Size | undefined {
  if (text === 'small' || text === 'full') return text;
  if (!/^\d{1,6}$/.test(text)) return undefined;
  const size = Number(text);
  return size >= sizeMin && size <= sizeMax[name] ? size : undefined;
}
