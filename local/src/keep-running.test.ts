import { expect, test } from '@jest/globals';
import type { Exit, Running } from './child.ts';
import { keepRunning, nextPause } from './keep-running.ts';

test.each([
  [{ pauseMs: 1_000, livedMs: 0 }, 1_000],
  [{ pauseMs: 16_000, livedMs: 59_999 }, 16_000],
  [{ pauseMs: 32_000, livedMs: 10 }, 30_000],
  [{ pauseMs: 30_000, livedMs: 60_000 }, 1_000],
])('waits the right time before it starts a process again: %p', (life, pauseMs) => {
  expect(nextPause(life)).toBe(pauseMs);
});

/** A process that ends when it is told to. */
function fakeProcess() {
  let end: (exit: Exit) => void = () => {};
  const exited = new Promise<Exit>((resolve) => {
    end = resolve;
  });
  const stopped: string[] = [];
  const stop = async (): Promise<Exit> => {
    stopped.push('stop');
    end({ code: 0, signal: null });
    return exited;
  };
  const process: Running = { pid: 1, exited, lines: [], stop, kill: stop, pause: () => {}, resume: () => {} };
  return { process, stopped, end };
}

test('says that a process ended by itself, and how', async () => {
  const fake = fakeProcess();
  const said: string[] = [];
  const kept = keepRunning({ name: 'mongod', launch: () => fake.process, say: (line) => said.push(line) });
  await kept.start();

  fake.end({ code: 14, signal: null });
  await fake.process.exited;
  await Promise.resolve();
  await kept.stop();

  expect(said).toEqual(['mongod ended by itself (exit code 14). It is started again in 1 s.']);
});

test('says nothing about a process that it stops itself', async () => {
  const fake = fakeProcess();
  const said: string[] = [];
  const kept = keepRunning({ name: 'mongod', launch: () => fake.process, say: (line) => said.push(line) });
  await kept.start();

  await kept.stop();

  expect(fake.stopped).not.toEqual([]);
  expect(said).toEqual([]);
});

test('ends a process that was still being started when the stop came', async () => {
  const fake = fakeProcess();
  let finishLaunch: (process: Running) => void = () => {};
  const launch = () =>
    new Promise<Running>((resolve) => {
      finishLaunch = resolve;
    });
  const kept = keepRunning({ name: 'nats-server', launch, say: () => {} });
  const started = kept.start();

  const stopped = kept.stop();
  finishLaunch(fake.process);
  await Promise.all([started, stopped]);

  expect(fake.stopped).not.toEqual([]);
});

test('gives the reason of a first start that fails, and does not try again', async () => {
  let launches = 0;
  const launch = async (): Promise<Running> => {
    launches += 1;
    throw new Error('Port 4222 is in use');
  };
  const kept = keepRunning({ name: 'nats-server', launch, say: () => {} });

  await expect(kept.start()).rejects.toThrow('Port 4222 is in use');
  await kept.stop();

  expect(launches).toBe(1);
});
