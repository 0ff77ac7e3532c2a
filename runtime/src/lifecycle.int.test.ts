import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';

// What is on its way to a reader is some hundred KB at most: this many lines are more, and fewer than are kept.
const many = 10_000;

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

type Logging = { atStart?: number; atStop?: number; outputTo?: number };

/** A process with a log as ours have it, whose stdout nobody reads until the test does. Says a word on stderr, when told to. */
async function startLogging({ atStart = 0, atStop = 0, outputTo }: Logging) {
  const program = `
    import { setImmediate } from 'node:timers/promises';
    import { createLog, stopOnSignal } from '@paystream/runtime';
    const log = createLog({ name: 'test', level: 'info' });
    const say = (count) => {
      for (let number = 1; number <= count; number += 1) log.info({ number }, 'line');
    };
    setInterval(() => undefined, 1_000);
    process.on('SIGUSR2', () => void Promise.reject(new Error('a bug')));
    stopOnSignal({ log, stop: async () => {
      say(${atStop});
      // As at the stop of a service. The pipe is full by then, and a part of the lines is half written.
      for (let turns = 0; turns < 5_000; turns += 1) await setImmediate();
      process.stderr.write('stopping\\n');
    } });
    say(${atStart});
    process.stderr.write('started\\n');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', outputTo ?? 'pipe', 'pipe'],
  });
  started.push(child);
  const { stdout, stderr } = child;
  if (stderr === null) throw new Error('it has no stderr');
  const words = createInterface({ input: stderr })[Symbol.asyncIterator]();
  const exited = once(child, 'exit');
  const said = async (word: string) => expect(await words.next()).toEqual({ done: false, value: word });
  const linesOf = (output: string) => output.split('\n').flatMap((line) => (line ? [JSON.parse(line)] : []));
  await said('started');
  return {
    stop: () => child.kill('SIGTERM'),
    fail: () => child.kill('SIGUSR2'),
    said,
    exited,
    read: async () => linesOf(stdout === null ? '' : await text(stdout)),
  };
}

describe('a process that is told to stop', () => {
  test('writes every line before it ends, where they are read late too', async () => {
    const { stop, said, read, exited } = await startLogging({ atStop: many });

    stop();
    await said('stopping');
    const lines = await read();

    expect(lines.slice(0, -1).flatMap(({ number }) => number ?? [])).toEqual(
      Array.from({ length: many }, (_, index) => index + 1),
    );
    expect(lines.at(-1).msg).toBe('service.stopped');
    expect(await exited).toEqual([0, null]);
  });

  test('ends though nobody reads its log', async () => {
    const { stop, exited } = await startLogging({ atStop: many });
    const startedAt = performance.now();

    stop();

    expect(await exited).toEqual([0, null]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

test('a process with a bug ends, too, though nobody reads its log', async () => {
  const { fail, exited } = await startLogging({ atStart: many });
  const startedAt = performance.now();

  fail();

  expect(await exited).toEqual([1, null]);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});

const whereItCanBeFull = existsSync('/dev/full') ? test : test.skip;

whereItCanBeFull('a log that has no room on its disk ends nobody', async () => {
  const full = openSync('/dev/full', 'w');
  const { stop, exited } = await startLogging({ atStart: many, atStop: many, outputTo: full });
  closeSync(full);

  stop();

  expect(await exited).toEqual([0, null]);
});

test('a log that nobody reads is kept up to a limit; then work goes on, and it is told how many lines are missing', async () => {
  const { stop, read } = await startLogging({ atStart: 20 * many });

  const reading = read();
  stop();
  const lines = await reading;

  const numbers = lines.flatMap(({ number }) => number ?? []);
  const dropped = lines.filter(({ msg }) => msg === 'log.dropped');
  expect(numbers).toEqual(Array.from(numbers, (_, index) => index + 1));
  expect(numbers.length).toBeGreaterThan(many);
  expect(lines[numbers.length]).toMatchObject({ level: 50, msg: 'log.dropped' });
  // The words about its stop may be among those that are missing.
  const told = lines.length - dropped.length;
  expect(dropped.reduce((sum, line) => sum + line.lines, told)).toBe(20 * many + 2);
});
