import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

/** A process of ours, as tests and `npm start` handle it: broker, database and services alike. */
export type Running = {
  pid: number;
  exited: Promise<Exit>;
  /** The last lines it wrote, oldest first. */
  lines: readonly string[];
  /** Asks it to end with the signal (its own graceful way by default), and kills it when it does not. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
  /** SIGKILL: what a crash or a lost machine looks like. */
  kill(): Promise<Exit>;
  /** SIGSTOP: alive, holding its connections, and answering nobody. */
  pause(): void;
  resume(): void;
};

export type ChildOptions = {
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  onLine?: (line: string) => void;
  /** Where its output goes instead, as a file descriptor: whoever reads lines takes part of the machine for it. */
  outputTo?: number;
  /** How long `stop` waits before SIGKILL. */
  stopWithinMs: number;
};

/** Enough to read a whole test from, and a bound for a service that runs for weeks. */
const LINES_MAX = 5_000;

/** Grandchildren may hold the output open; the exit itself is not delayed by them for longer than this. */
const OUTPUT_GRACE_MS = 500;

/** A paused process has stopped long before, unless the machine is very busy. */
const STOPPED_WITHIN_MS = 1_000;

/** Starts a process in a group of its own, so that the terminal's Ctrl-C reaches it only through us. */
export function startChild(options: ChildOptions): Running {
  const child = spawn(options.command, options.args, {
    detached: true,
    stdio: ['ignore', options.outputTo ?? 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  // Without a listener the failure to start would end our own process; the missing pid below tells it.
  child.on('error', () => {});
  if (child.pid === undefined) throw new Error(`${options.command} cannot be run`);

  const { pid } = child;
  const lines = collectLines(child, options.onLine);
  const exited = waitForExit(child);
  endWithParent(pid, exited);
  return { pid, lines, exited, ...createControls({ pid, exited, stopWithinMs: options.stopWithinMs }) };
}

type ControlsOptions = { pid: number; exited: Promise<Exit>; stopWithinMs: number };

/** The signals, made harmless once the process is gone (its pid may be somebody else's by then). */
export function createControls({ pid, exited, stopWithinMs }: ControlsOptions) {
  let gone = false;
  void exited.then(() => {
    gone = true;
  });

  function send(signal: NodeJS.Signals): void {
    if (gone) return;
    try {
      process.kill(pid, signal);
    } catch {
      // It ended between the check and the call.
    }
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    send(signal);
    // A paused process takes its signals only when it runs again.
    send('SIGCONT');
    const timer = setTimeout(() => send('SIGKILL'), stopWithinMs);
    try {
      return await exited;
    } finally {
      clearTimeout(timer);
    }
  }

  async function kill(): Promise<Exit> {
    send('SIGKILL');
    return exited;
  }

  function pause(): void {
    send('SIGSTOP');
    waitUntilStopped(pid);
  }

  return { stop, kill, pause, resume: () => send('SIGCONT') };
}

/** A thread on another core runs on for a moment, and may answer one more request. Where there is no /proc, so be it. */
function waitUntilStopped(pid: number): void {
  const folder = `/proc/${pid}/task`;
  const deadline = performance.now() + STOPPED_WITHIN_MS;
  const isStopped = (task: string) => /\) [TtZX] /.test(readFileSync(`${folder}/${task}/stat`, 'utf8'));
  try {
    while (!readdirSync(folder).every(isStopped) && performance.now() < deadline);
  } catch {
    // It has ended, or a thread of it has.
  }
}

// A process that is still loading its modules may be deaf to SIGTERM (tried: a service whose compiler died first hangs
// for ever), so it is asked, given as long as a service takes at most, and then killed.
const watchScript = `read -r _
kill -TERM "$0"; kill -CONT "$0"
seconds=0
while kill -0 "$0" && [ "$seconds" -lt 12 ]; do sleep 1; seconds=$((seconds + 1)); done
[ "$seconds" -lt 12 ] || kill -KILL "$0"`;

/**
 * Ends the process when ours is gone, even by SIGKILL: a shell waits on a pipe that only we hold open.
 * Not on Windows, where there is no `sh`; there an orphan stays.
 */
export function endWithParent(pid: number, exited: Promise<Exit>): void {
  if (process.platform === 'win32') return;
  const watch = spawn('sh', ['-c', watchScript, String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watch.on('error', () => {});
  watch.stdin.on('error', () => {});
  // Neither the shell nor its pipe is a reason for us to stay alive.
  watch.unref();
  if ('unref' in watch.stdin && typeof watch.stdin.unref === 'function') watch.stdin.unref();
  void exited.then(() => watch.kill('SIGKILL'));
}

function collectLines(child: ChildProcess, onLine?: (line: string) => void): string[] {
  const lines: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    if (input === null) continue;
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      if (lines.length > LINES_MAX) lines.shift();
      onLine?.(line);
    });
  }
  return lines;
}

function waitForExit(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      const timer = setTimeout(() => resolve({ code, signal }), OUTPUT_GRACE_MS);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ code, signal });
      });
    });
  });
}
