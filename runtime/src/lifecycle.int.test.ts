import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';

// What is on its way to a reader is some hundred KB at most: this many lines are more, and fewer than are kept.
const many = 10_000;

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** A process with a log as ours have it, whose stdout nobody reads until the test does. Says a word on stderr, when told to. */
async function startLogging({ atStart = 0, atStop = 0 }) {
  const program = `
    import { setImmediate } from 'node:timers/promises';
    import { createLog, stopOnSignal } from '@paystream/runtime';
    const log = createLog({ name: 'test', level: 'info' });
    const say = (count) => {
      for (let number = 1; number <= count; number += 1) log.info({ number }, 'line');
    };
    setInterval(() => undefined, 1_000);
    stopOnSignal({ log, stop: async () => {
      say(${atStop});
      // As at the stop of a service. The pipe is full by then, and a part of the lines is half written.
      for (let turns = 0; turns < 5_000; turns += 1) await setImmediate();
      process.stderr.write('stopping\\n');
    } });
    say(${atStart});
    process.stderr.write('started\\n');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  const words = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  const exited = once(child, 'exit');
  const said = async (word: string) => expect(await words.next()).toEqual({ done: false, value: word });
  const linesOf = (output: string) => output.split('\n').flatMap((line) => (line ? [JSON.parse(line)] : []));
  await said('started');
  return {
    stop: () => child.kill('SIGTERM'),
    said,
    exited,
    read: async () => linesOf(await text(child.stdout)),
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

test('a log that nobody reads is kept up to a limit; then work goes on, and it is told how many lines are missing', async () => {
  const { stop, read } = await startLogging({ atStart: 20 * many });

  const reading = read();
  stop();
  const lines = await reading;

  const numbers = lines.flatMap(({ number }) => number ?? []);
  const dropped = lines.find(({ msg }) => msg === 'log.dropped');
  expect(numbers).toEqual(Array.from(numbers, (_, index) => index + 1));
  expect(dropped).toMatchObject({ level: 50, lines: 20 * many - numbers.length });
  expect(numbers.length).toBeGreaterThan(many);
});
