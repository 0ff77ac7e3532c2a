import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * How often the process syncs to disk while the work is done, counted by strace; undefined where there is none, or it
 * may not look. It slows the process down, so nothing else is measured meanwhile.
 */
export async function countFsyncs(pid: number, work: () => Promise<void>): Promise<number | undefined> {
  const strace = spawn('strace', ['-f', '-e', 'trace=fsync,fdatasync', '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let count = 0;
  let rest = '';
  let isAttached: (attached: boolean) => void = () => undefined;
  const attached = new Promise<boolean>((resolve) => {
    isAttached = resolve;
  });
  strace.once('error', () => isAttached(false));
  const ended = once(strace, 'close').catch(() => undefined);
  void ended.then(() => isAttached(false));
  strace.stderr.on('data', (piece) => {
    const lines = `${rest}${piece}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (/attached/.test(line)) isAttached(true);
      // An interrupted call is told once more when it goes on, without its bracket.
      if (/\b(fsync|fdatasync)\(/.test(line)) count += 1;
    }
  });
  if (!(await attached)) return undefined;
  await work();
  strace.kill('SIGINT');
  await ended;
  return count;
}
