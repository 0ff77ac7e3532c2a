import { randomUUID } from 'node:crypto';
import { ConfigError } from '@paystream/runtime';
import { banner } from './banner.ts';
import { checkFolder, checkPorts } from './checks.ts';
import { type Config, listenersOf, readConfig } from './config.ts';
import { createLogPrinter } from './log-printer.ts';
import { createStack, type Stack } from './stack.ts';

/** A Ctrl-C reaches us from the terminal and once more through npm; only a later one is a second one. */
const SAME_CTRL_C_MS = 1_000;
const PARENT_CHECK_MS = 1_000;

process.exitCode = await main();

async function main(): Promise<number> {
  const startedAt = Date.now();
  // A terminal that was closed must not keep us from stopping in order.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const stopAsked = waitForStop();
  try {
    const config = readConfig();
    const problems = [...(await checkPorts(listenersOf(config))), ...checkFolder(config.DATA_DIR)];
    if (problems.length > 0) return fail(problems);
    const stack = stackOf(config);
    return await runUntilStopped({ config, stack, stopAsked, startedAt });
  } catch (error) {
    if (error instanceof ConfigError) return fail(error.lines);
    return fail([error instanceof Error ? error.message : String(error)]);
  }
}

type RunOptions = { config: Config; stack: Stack; stopAsked: Promise<void>; startedAt: number };

async function runUntilStopped({ config, stack, stopAsked, startedAt }: RunOptions): Promise<number> {
  const started = stack.start().then(
    () => 'started' as const,
    (error: unknown) => ({ error }),
  );
  const first = await Promise.race([started, stopAsked.then(() => 'stop' as const)]);
  if (first === 'started') {
    console.log(bannerOf({ config, stack, startedAt }));
    await stopAsked;
  }
  if (typeof first === 'object') {
    await stack.stop({ quiet: true });
    throw first.error;
  }
  await stack.stop();
  console.log('Stopped.');
  return 0;
}

function stackOf(config: Config): Stack {
  return createStack({
    gatewayPort: config.GATEWAY_PORT,
    paymentPort: config.PAYMENT_PORT,
    natsPort: config.NATS_PORT,
    mongoPort: config.MONGO_PORT,
    dataDir: config.DATA_DIR,
    natsUri: config.NATS_URI,
    mongoUri: config.MONGO_URI,
    // So that LOG_LEVEL and the like, given to `npm start`, reach the services.
    env: process.env,
    say: (line) => console.log(line),
    onLine: createLogPrinter(),
  });
}

function bannerOf({ config, stack, startedAt }: { config: Config; stack: Stack; startedAt: number }): string {
  return banner({
    gatewayUrl: stack.gatewayUrl,
    paymentUrl: stack.paymentUrl,
    natsUri: config.NATS_URI === undefined ? stack.natsUri : undefined,
    mongoUri: config.MONGO_URI === undefined ? stack.mongoUri : undefined,
    dataDir: config.DATA_DIR,
    txId: randomUUID(),
    seconds: (Date.now() - startedAt) / 1000,
  });
}

/** Resolves when somebody asks us to stop: by a signal, or npm or its shell is gone without one. */
function waitForStop(): Promise<void> {
  return new Promise((resolve) => {
    let askedAt: number | undefined;
    const ask = () => {
      if (askedAt === undefined) {
        askedAt = Date.now();
        resolve();
      } else if (Date.now() - askedAt > SAME_CTRL_C_MS) {
        console.log('Still stopping: the services finish what they have in hand.');
      }
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ask);
    // A shell between npm and us may take npm's SIGTERM for itself and leave us behind.
    const parent = process.ppid;
    const isUnderNpm = process.env.npm_lifecycle_event !== undefined;
    const timer = setInterval(() => {
      if (isUnderNpm && process.ppid !== parent && askedAt === undefined) ask();
    }, PARENT_CHECK_MS);
    timer.unref();
  });
}

function fail(lines: readonly string[]): number {
  for (const line of lines) console.error(line);
  return 1;
}
