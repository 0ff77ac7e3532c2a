import { randomBytes, randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import type { SampleValues } from '../sample.ts';

export interface SendArguments {
  source: string;
  type: string;
  values: SampleValues;
  /** In the place of the gateway of this machine. */
  url: string | undefined;
  print: boolean;
}

export type ParsedArguments =
  | { kind: 'send'; send: SendArguments }
  | { kind: 'usage' }
  | { kind: 'wrong'; why: string };

export const usage = `npm run send -- <source> <type> [options]

  --txId <id>         the transaction, as the sender names it      (a new one)
  --amount <n>        in minor units                               (1250)
  --currency <code>   ISO 4217                                     (EUR)
  --note <text>                                                    (a sample)
  --reference <id>    the capture, refund or dispute               (a new one)
  --eventId <id>      the sender's id of the event or webhook      (a new one)
  --url <url>         another gateway than the one of npm start
  --print             shows what would be sent, and sends nothing
`;

const options = {
  txId: { type: 'string' },
  amount: { type: 'string' },
  currency: { type: 'string' },
  note: { type: 'string' },
  reference: { type: 'string' },
  eventId: { type: 'string' },
  url: { type: 'string' },
  print: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

/** The command line, with a new id wherever none is given: each call sends a new event. */
export function parseSendArguments(args: readonly string[], at: Date): ParsedArguments {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return { kind: 'wrong', why: error instanceof Error ? error.message : String(error) };
  }
  const { values: given, positionals } = parsed;
  const [source, type, ...more] = positionals;
  if (given.help === true || source === undefined) return { kind: 'usage' };
  if (type === undefined) return { kind: 'wrong', why: 'say what to send: <source> <type>' };
  if (more.length > 0) return { kind: 'wrong', why: `what is ${more.join(' ')}?` };
  const amount = given.amount ?? '1250';
  if (!/^\d{1,15}$/.test(amount)) return { kind: 'wrong', why: '--amount must be a whole number' };
  const values = {
    txId: given.txId ?? randomUUID(),
    amount: Number(amount),
    currency: given.currency ?? 'EUR',
    note: given.note ?? 'a sample',
    reference: given.reference ?? `ref_${randomBytes(8).toString('hex')}`,
    eventId: given.eventId ?? `evt_${randomBytes(12).toString('hex')}`,
    at,
  };
  return { kind: 'send', send: { source, type, values, url: given.url, print: given.print === true } };
}

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options, allowPositionals: true });
}
