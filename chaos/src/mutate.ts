import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { table } from '@paystream/local';
import type { Arguments } from './arguments.ts';
import { edited, type Mutation, mutations } from './mutations.ts';
import type { Result } from './run.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const workspaces = ['nats', 'runtime', 'third-party-gateway', 'payment-service', 'local'];
/** Each fault comes once, so it takes what they take. */
const minutes = '0.1';

interface Verdict {
  name: string;
  what: string;
  /** What the harness found, and how often. */
  found: ReadonlyMap<string, number>;
  good: boolean;
}

/** Takes out one safeguard after the other. True: each was missed, and the untouched copy is green. */
export async function runMutations(
  { seeds: [seed = 1], mutations: names }: Pick<Arguments, 'seeds' | 'mutations'>,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const chosen = mutations.filter(({ name }) => names.includes(name));
  const nothing: Mutation = {
    name: 'nothing',
    what: 'the sources as they are',
    edits: [],
    faults: [...new Set(chosen.flatMap(({ faults }) => faults))],
    expected: [],
  };
  const verdicts: Verdict[] = [];
  for (const mutation of [nothing, ...chosen]) {
    signal.throwIfAborted();
    say(`\n${mutation.name}: ${mutation.what}`);
    verdicts.push(await runOne(mutation, seed, say, signal));
  }
  const rows = verdicts.map(({ name, what, found, good }) => [
    name,
    good ? (name === 'nothing' ? 'green' : 'found') : 'NOT AS IT MUST BE',
    [...found].map(([kind, times]) => `${times} ${kind}`).join(', ') || 'no violation',
    what,
  ]);
  say(`\n${table(['taken out', '', 'violations', ''], rows)}`);
  return verdicts.every(({ good }) => good);
}

async function runOne(
  mutation: Mutation,
  seed: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Verdict> {
  const copy = copySources();
  try {
    for (const edit of mutation.edits) {
      const file = join(copy, edit.file);
      writeFileSync(file, edited(readFileSync(file, 'utf8'), edit));
    }
    const args = ['--seed', String(seed), '--minutes', minutes, '--faults', mutation.faults.join(',')];
    const code = await runCopy(copy, args, say, signal);
    const [result]: Result[] = JSON.parse(readFileSync(join(copy, 'chaos-report.json'), 'utf8'));
    const found = new Map<string, number>();
    for (const { kind } of result?.violations ?? []) found.set(kind, (found.get(kind) ?? 0) + 1);
    const red = code !== 0 && mutation.expected.some((kind) => found.has(kind));
    const { name, what } = mutation;
    return { name, what, found, good: mutation.expected.length === 0 ? code === 0 : red };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** A tree of its own, in which the workspaces find each other; the packages are those of the repository. */
function copySources(): string {
  const copy = mkdtempSync(join(tmpdir(), 'paystream-mutation-'));
  for (const folder of [...workspaces, 'chaos']) {
    cpSync(join(root, folder), join(copy, folder), {
      recursive: true,
      filter: (path) => !/\/(dist|node_modules)(\/|$)/.test(path.slice(root.length - 1)),
    });
  }
  for (const file of ['package.json', 'tsconfig.base.json']) cpSync(join(root, file), join(copy, file));
  const packages = join(copy, 'node_modules');
  mkdirSync(join(packages, '@paystream'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== '@paystream') symlinkSync(join(root, 'node_modules', name), join(packages, name));
  }
  for (const name of workspaces) symlinkSync(join(copy, name), join(packages, '@paystream', name));
  return copy;
}

function runCopy(
  cwd: string,
  args: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<number | null> {
  const node = ['--conditions=@paystream/source', '--import', 'tsx', 'chaos/src/main.ts', ...args];
  const child = spawn(process.execPath, node, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  // Its progress, and not its table: this run is expected to be red.
  child.stdout.on('data', (text: Buffer) => {
    for (const line of String(text).split('\n')) if (/^ +\d+\.\d s|^the faults/.test(line)) say(line);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(new Error('stopped'));
      else resolve(code);
    });
  });
}
