import { configOrExit, describeError } from '@paystream/runtime';
import { fillSample } from '../sample.ts';
import type { ConfiguredSource } from '../sources-file.ts';
import { parseSendArguments, type SendArguments, usage } from './arguments.ts';
import { readSendConfig } from './config.ts';
import { readSample, sampleTypes } from './samples.ts';

const answerWithinMs = 10_000;

process.exitCode = await main();

/** 0: answered 200. 1: not. 2: it was not understood what to send. */
async function main(): Promise<number> {
  const parsed = parseSendArguments(process.argv.slice(2), new Date());
  if (parsed.kind === 'wrong') return refuse(parsed.why);
  const { url, sources } = configOrExit('send', readSendConfig);
  if (parsed.kind === 'usage') {
    process.stdout.write(`${usage}\n${listOf(sources)}`);
    return 0;
  }
  const { send } = parsed;
  const source = sources.find(({ name }) => name === send.source);
  if (source === undefined) return refuse(`no source is named ${send.source}\n\n${listOf(sources)}`);
  const template = readSample(source.adapter, send.type);
  if (template === undefined)
    return refuse(`${source.name} has no sample ${send.type}\n\n${listOf([source])}`);
  return sendSample({ source, template, send, url: send.url ?? url });
}

interface Sending {
  source: ConfiguredSource;
  template: unknown;
  send: SendArguments;
  url: string;
}

async function sendSample({ source, template, send, url }: Sending): Promise<number> {
  const { values, print } = send;
  const body = JSON.stringify(fillSample(template, values));
  const signed = source.sign({ body, at: values.at, id: values.eventId });
  const headers = { 'content-type': 'application/json', ...signed.headers };
  const address = `${url}/webhooks/${source.name}`;
  if (print) {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    process.stdout.write(`POST ${address}\n${lines.join('\n')}\n\n${signed.body}\n`);
    return 0;
  }
  try {
    const signal = AbortSignal.timeout(answerWithinMs);
    const answer = await fetch(address, { method: 'POST', headers, body: signed.body, signal });
    const txId = source.adapter === 'x-payment' ? values.txId : `${source.name}:${values.txId}`;
    process.stdout.write(`${answer.status} ${await answer.text()}\ntransaction ${txId}\n`);
    return answer.status === 200 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`send: ${address} does not answer: ${describeError(error)}\n`);
    return 1;
  }
}

function listOf(sources: readonly ConfiguredSource[]): string {
  const lines = sources.flatMap(({ name, adapter }) => [
    `${name} (${adapter})`,
    ...sampleTypes(adapter).map((type) => `  ${type}`),
  ]);
  return `${lines.join('\n')}\n`;
}

function refuse(why: string): number {
  process.stderr.write(`send: ${why}\n`);
  return 2;
}
