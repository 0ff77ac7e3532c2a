import { setTimeout as sleep } from 'node:timers/promises';
import { type Exit, type Running, startChild } from './child.ts';
import { isBuilt, ROOT } from './root.ts';

export type Service = Running & {
  name: string;
  /** From PORT in its environment. */
  url: string | undefined;
  /** Resolves when `GET /readyz` answers 200; rejects when the process ends first or the time is over. */
  ready(options?: { withinMs?: number }): Promise<void>;
};

export type ServiceOptions = {
  name: string;
  /** Relative to the root of the repository. A `.js` is built code; for a `.ts` it is taken where this is built, too. */
  entry: string;
  env: Record<string, string>;
  onLine?: (line: string) => void;
  /** A file descriptor that takes its log. */
  outputTo?: number;
};

/** A service promises to be gone 10 s after SIGTERM; then it is killed. */
const STOP_WITHIN_MS = 12_000;

/**
 * What our services are started with, here as in the images. Node would grant them gigabytes, and with that in sight it lets
 * garbage grow to four times of what lives before it looks for it.
 */
export const nodeFlags = ['--max-old-space-size=512'] as const;

/** Starts one of our services from its source or as it was built, with exactly the given environment. */
export function startService({ name, entry, env, onLine, outputTo }: ServiceOptions): Service {
  const child = startChild({
    command: process.execPath,
    args: [...nodeFlags, ...argumentsFor(isBuilt ? builtFrom(entry) : entry)],
    cwd: ROOT,
    env: { ...nodeEnv(), ...env },
    stopWithinMs: STOP_WITHIN_MS,
    ...(onLine === undefined ? {} : { onLine }),
    ...(outputTo === undefined ? {} : { outputTo }),
  });
  const url = env.PORT === undefined ? undefined : `http://${env.HOST ?? '127.0.0.1'}:${env.PORT}`;
  return {
    ...child,
    name,
    url,
    ready: ({ withinMs = 30_000 } = {}) =>
      // Who was given the lines has them already.
      waitUntilReady({ name, url, child, withinMs, showLog: onLine === undefined }),
  };
}

const argumentsFor = (entry: string) =>
  entry.endsWith('.ts') ? ['--conditions=@paystream/source', '--import', 'tsx', entry] : [entry];

/** Where `tsc -b` puts it. A process that has nothing to compile takes a third of the time to start. */
export const builtFrom = (source: string) => source.replace('/src/', '/dist/').replace(/\.ts$/, '.js');

/** What any process needs of ours; nothing that could configure a service behind the caller's back. */
function nodeEnv(): Record<string, string> {
  const wanted = Object.entries(process.env).flatMap(([key, value]) =>
    value !== undefined && (key === 'PATH' || key === 'HOME' || key.startsWith('NODE_'))
      ? [[key, value]]
      : [],
  );
  return Object.fromEntries(wanted);
}

type ReadyOptions = {
  name: string;
  url: string | undefined;
  child: Running;
  withinMs: number;
  showLog: boolean;
};

async function waitUntilReady({ name, url, child, withinMs, showLog }: ReadyOptions): Promise<void> {
  if (url === undefined) throw new Error(`${name} was started without PORT`);
  let exit: Exit | undefined;
  void child.exited.then((how) => {
    exit = how;
  });
  const log = () => (showLog ? `\n${child.lines.slice(-10).join('\n')}` : '');
  const deadline = Date.now() + withinMs;
  let last = 'no answer';
  while (Date.now() < deadline) {
    if (exit !== undefined)
      throw new Error(`${name} ended before it was ready (${describeExit(exit)}).${log()}`);
    last = await askReadiness(url);
    if (last === '200') return;
    await sleep(50);
  }
  throw new Error(`${name} was not ready within ${withinMs / 1000} s: ${last}${log()}`);
}

/** For people: `exit code 1`, `SIGKILL`. */
export function describeExit({ code, signal }: Exit): string {
  return signal ?? `exit code ${code}`;
}

async function askReadiness(url: string): Promise<string> {
  try {
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) });
    const body = await answer.text();
    return answer.status === 200 ? '200' : `${answer.status} ${body}`;
  } catch {
    return 'no answer';
  }
}
