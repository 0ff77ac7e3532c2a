import { parseArgs } from 'node:util';

export const benchNames = ['intake', 'apply', 'flow', 'growth', 'footprint', 'replay', 'backlog'] as const;
export type BenchName = (typeof benchNames)[number];

export interface Arguments {
  /** All of them where none was named. */
  names: readonly BenchName[];
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

// What a number counts differs: events (replay, apply, backlog), rounds (intake), seconds (flow, footprint), stored
// transactions (growth). Each bound keeps a bench from taking the machine for hours, but for an hour of footprint.
const sizes: Readonly<Record<BenchName, { min: number; max: number }>> = {
  intake: { min: 1, max: 50 },
  apply: { min: 200, max: 200_000 },
  flow: { min: 1, max: 600 },
  growth: { min: 1_000, max: 2_000_000 },
  footprint: { min: 1, max: 7_200 },
  replay: { min: 20, max: 5_000 },
  backlog: { min: 20, max: 200_000 },
};

export const help = `npm run bench                     all of them, about 40 minutes
npm run bench -- <name> … [options]

  intake     webhooks a second: ours, the plain design, node:http alone (about 8 minutes)
  apply      events a second into the record: ours, the plain design, the broker's and the database's ceilings (3 minutes)
  flow       both services at 50, 80 and 120 % of what they can take: how late, how many refused, none lost (5 minutes)
  growth     the same work at 10,000 to 1,000,000 stored transactions, and with long histories (10 minutes)
  footprint  memory, processor time and time to start (2 minutes)
  replay     what becomes of a backlog: plain JetStream beside ours, on the same rhythm (4 minutes)
  backlog    how long live payments wait behind 50,000 messages, and what memory that takes (3 minutes)

  --size <small|full|number>   full is the default; a number counts events (apply, replay, backlog), rounds (intake),
                               seconds (flow, footprint) or stored transactions (growth)
  --only <a,b>                 replay: only these of plain-original, plain-original-new, plain-instant, ours-1, ours-4;
                               intake: only these of ours, ours-quiet, ours-stripe, plain, plain-synced, floor
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
    const unknown = positionals.find((name) => !isBenchName(name));
    if (unknown !== undefined) return wrong(`there is no bench ${unknown}`);
    const named = benchNames.filter((name) => positionals.includes(name));
    const alone = named.length === 1 ? named[0] : undefined;
    const size = sizeFrom(values.size ?? 'full', alone);
    if (size === undefined) return wrong(`--size must be ${sizeWords(alone)}`);
    const only = values.only?.split(',');
    const names = named.length === 0 ? benchNames : named;
    return { kind: 'run', arguments: { names, size, only, writeDocs: values['write-docs'] ?? false } };
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

/** A number means something else to each bench, so several together take none. */
function sizeFrom(text: string, name: BenchName | undefined): Size | undefined {
  if (text === 'small' || text === 'full') return text;
  if (name === undefined || !/^\d{1,7}$/.test(text)) return undefined;
  const size = Number(text);
  return size >= sizes[name].min && size <= sizes[name].max ? size : undefined;
}

function sizeWords(name: BenchName | undefined): string {
  if (name === undefined) return 'small or full where not one bench alone is named';
  return `small, full or a number from ${sizes[name].min} to ${sizes[name].max}`;
}
