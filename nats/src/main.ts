import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { configOrExit, createLog, describeError } from '@paystream/runtime';
import type { NatsConnection } from 'nats';
import { asyncapiFile } from './asyncapi.ts';
import { brokerAddressOf } from './broker-address.ts';
import { type Config, readConfig } from './config.ts';
import { connectBroker } from './connection.ts';
import { definitionFiles } from './definitions.ts';
import { findingLine } from './preflight.ts';
import { isSafe, type ProvisionMode, provision } from './provision.ts';
import { type StreamOptions, streamOptionsOf } from './streams.ts';

const help = `npm run provision [-- <option>]

Brings the streams and the consumers on the broker to what Paystream needs, and says what it did.

  (no option)             creates what is missing, compares the rest
  --check                 compares only
  --apply                 creates what is missing and changes what differs; nothing stored is deleted
  --definitions <folder>  writes the JSON definitions for the nats CLI, and asyncapi.json; needs no broker
  --help                  this text

Environment, or .env in the root: NATS_URI (nats://127.0.0.1:4222), NATS_USER, NATS_PASSWORD, with a tls:// address
NATS_CA_FILE, NATS_CERT_FILE, NATS_KEY_FILE,
DUPLICATE_WINDOW (10m), STREAM_REPLICAS (1 or 3), STREAM_MAX_BYTES (2147483648), REPLAY_MODE (broker: the consumer
is made with JetStream's own replay policy original).

Exit code: 0 safe, 1 a setting can lose a payment or the broker cannot be asked, 2 wrong option.`;

const connectWithinMs = 4_500;

process.exitCode = await run(process.argv.slice(2));
// A connection that never got an answer would keep the process alive.
process.exit();

async function run(args: string[]): Promise<number> {
  const options = readOptions(args);
  if ('wrong' in options) {
    console.error(`${options.wrong}\n\n${help}`);
    return 2;
  }
  if (options.help) {
    console.log(help);
    return 0;
  }
  const config = configOrExit('provision', readConfig);
  const streams = streamOptionsOf(config);
  if (options.definitions !== undefined) return writeDefinitions(options.definitions, streams);
  return provisionBroker(config, { mode: options.mode, streams });
}

type Options = { help: boolean; mode: ProvisionMode; definitions: string | undefined } | { wrong: string };

function readOptions(args: string[]): Options {
  try {
    const { values } = parseArgs({
      args,
      options: {
        check: { type: 'boolean', default: false },
        apply: { type: 'boolean', default: false },
        definitions: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    const { check, apply, definitions } = values;
    if ([check, apply, definitions !== undefined].filter(Boolean).length > 1) {
      return { wrong: 'Only one of --check, --apply and --definitions can be done at a time.' };
    }
    return { help: values.help, mode: check ? 'check' : apply ? 'apply' : 'create', definitions };
  } catch (error) {
    // The rest of the library's sentence is about positional arguments, which we do not have.
    return { wrong: describeError(error).split('. ')[0] ?? '' };
  }
}

function writeDefinitions(folder: string, streams: StreamOptions): number {
  try {
    mkdirSync(folder, { recursive: true });
    for (const { name, text } of [...definitionFiles(streams), asyncapiFile()]) {
      writeFileSync(join(folder, name), text);
      console.log(`written: ${join(folder, name)}`);
    }
    return 0;
  } catch (error) {
    console.error(`The definitions cannot be written to ${folder}: ${describeError(error)}`);
    return 1;
  }
}

async function provisionBroker(
  config: Config,
  options: { mode: ProvisionMode; streams: StreamOptions },
): Promise<number> {
  const uri = config.NATS_URI.replaceAll(/\/\/[^@/,]*@/g, '//');
  const broker = connectBroker({
    ...configOrExit('provision', () => brokerAddressOf(config)),
    name: 'provision',
    log: createLog({ name: 'provision', level: 'silent' }),
  });
  let connection: NatsConnection;
  try {
    connection = await broker.whenUp(AbortSignal.timeout(connectWithinMs));
  } catch {
    console.error(
      `The broker at ${uri} cannot be reached: ${broker.state().detail}. ` +
        'Start it, or set NATS_URI (and NATS_USER, NATS_PASSWORD where it has users).',
    );
    return 1;
  }
  try {
    return await report(connection, options);
  } catch (error) {
    console.error(`The broker at ${uri} does not do what was asked: ${explain(error)}`);
    return 1;
  } finally {
    await broker.close();
  }
}

async function report(
  connection: NatsConnection,
  options: { mode: ProvisionMode; streams: StreamOptions },
): Promise<number> {
  const result = await provision(connection, options);
  for (const line of result.done) console.log(line);
  for (const finding of result.findings) console.log(findingLine(finding));
  const counts = { unsafe: 0, warning: 0 };
  for (const { severity } of result.findings) counts[severity] += 1;
  const safe = isSafe(result);
  const verdict = safe ? 'safe' : 'NOT SAFE: the services will not run on it';
  console.log(
    `nats-server ${result.serverVersion}: ${verdict} (${counts.unsafe} unsafe, ${counts.warning} warnings)`,
  );
  return safe ? 0 : 1;
}

function explain(error: unknown): string {
  const message = describeError(error);
  if (message === '503')
    return 'JetStream is off, or not ready yet. Start nats-server with -js, or try again.';
  if (message === 'TIMEOUT') return 'it did not answer in time. Try again.';
  if (/permissions violation/i.test(message)) {
    return `${message}. Use a user that may provision (NATS_USER, NATS_PASSWORD).`;
  }
  return message;
}
