import { randomUUID } from 'node:crypto';
import { ConfigError } from '@paystream/runtime';
import { banner } from './banner.ts';
import { checkFolder, checkPorts } from './checks.ts';
import { type Config, listenersOf, readConfig } from './config.ts';
import { createLogPrinter } from './log-printer.ts';
import { keepOperatorToken, type OperatorToken } from './operator-token.ts';
import { keepSources } from './sources.ts';
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
    const token = isTokenGiven(config) ? undefined : keepOperatorToken(config.DATA_DIR);
    const stack = stackOf(config, token);
    return await runUntilStopped({ config, token, stack, stopAsked, startedAt });
  } catch (error) {
    if (error instanceof ConfigError) return fail(error.lines);
    return fail([error instanceof Error ? error.message : String(error)]);
  }
}

function isTokenGiven({ OPERATOR_TOKENS, OPERATOR_TOKENS_FILE }: Config): boolean {
  return OPERATOR_TOKENS !== undefined || OPERATOR_TOKENS_FILE !== undefined;
}

type Running = { config: Config; token: OperatorToken | undefined; stack: Stack; startedAt: number };

async function runUntilStopped(options: Running & { stopAsked: Promise<void> }): Promise<number> {
  const { stack, stopAsked } = options;
  const started = stack.start().then(
    () => 'started' as const,
    (error: unknown) => ({ error }),
  );
  const first = await Promise.race([started, stopAsked.then(() => 'stop' as const)]);
  if (first === 'started') {
    console.log(bannerOf(options));
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

function stackOf(config: Config, token: OperatorToken | undefined): Stack {
  return createStack({
    gatewayPort: config.GATEWAY_PORT,
    paymentPort: config.PAYMENT_PORT,
    natsPort: config.NATS_PORT,
    mongoPort: config.MONGO_PORT,
    dataDir: config.DATA_DIR,
    natsUri: config.NATS_URI,
    mongoUri: config.MONGO_URI,
    // So that LOG_LEVEL and the like, given to `npm start`, reach the services.
    env: {
      ...process.env,
      SOURCES_FILE: config.SOURCES_FILE ?? keepSources(config.DATA_DIR),
      ...(token === undefined ? {} : tokenEnv(token)),
    },
    say: (line) => console.log(line),
    onLine: createLogPrinter(),
  });
}

/** Both, so that the token in the banner is the one that counts, whatever the service's own .env says. */
function tokenEnv({ entry }: OperatorToken): Record<string, string> {
  return { OPERATOR_TOKENS: entry, OPERATOR_TOKENS_FILE: '' };
}

function bannerOf({ config, token, stack, startedAt }: Running): string {
  return banner({
    gatewayUrl: stack.gatewayUrl,
    paymentUrl: stack.paymentUrl,
    natsUri: config.NATS_URI === undefined ? stack.natsUri : undefined,
    mongoUri: config.MONGO_URI === undefined ? stack.mongoUri : undefined,
    dataDir: config.DATA_DIR,
    tokenPath: token?.path,
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
