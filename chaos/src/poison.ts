import type { Poison } from './history.ts';
import type { Random } from './random.ts';

export interface PoisonMessage extends Poison {
  subject: string;
  data: Uint8Array;
  /** The `Paystream-Version` that it claims; undefined: none. */
  version: string | undefined;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const event = (label: string, random: Random, more: Record<string, unknown> = {}) =>
  JSON.stringify({ txId: random.uuid(), action: 'NEW', amount: 100, note: `${label} by hand`, ...more });

/** A message that nobody can read, one kind after the other, with its label somewhere in its bytes. */
export function createPoison(count: number, random: Random): PoisonMessage {
  const label = `p${String(count).padStart(6, '0')}`;
  const kinds: Omit<PoisonMessage, 'label'>[] = [
    { reason: 'not-json', subject: 'payments.new', data: bytes(`{ "note": "${label}`), version: undefined },
    {
      reason: 'not-utf8',
      subject: 'payments.update',
      data: Uint8Array.of(0xff, 0xfe, ...bytes(` ${label} `), 0xc0),
      version: undefined,
    },
    {
      reason: 'not-an-event',
      subject: 'payments.new',
      data: bytes(event(label, random, { amount: '100' })),
      version: undefined,
    },
    {
      reason: 'subject-mismatch',
      subject: 'payments.approved',
      data: bytes(event(label, random)),
      version: undefined,
    },
    { reason: 'unknown-version', subject: 'payments.new', data: bytes(event(label, random)), version: '99' },
    {
      // Nearly as large as the stream takes, so that the dead letter is larger than any message of the queue.
      reason: 'not-an-event',
      subject: 'payments.draft',
      data: bytes(`["${label}", "${'x'.repeat(250_000)}"]`),
      version: undefined,
    },
  ];
  const kind = kinds[count % kinds.length] ?? kinds[0];
  if (kind === undefined) throw new RangeError('there is no kind of poison');
  return { label, ...kind };
}
