import { traceIdOf } from '@paystream/runtime';
import { type Msg, type MsgHdrs, nanos } from 'nats';
import { headerNames } from './messages.ts';
import { type Headers, originOf, withoutPrefix } from './origin.ts';
import type { WorkQueueName } from './streams.ts';

/** One attempt to hand a message to us. One that was set aside looks as it did before: only `deliveries` begins anew. */
export interface Delivery {
  subject: string;
  data: Uint8Array;
  header(name: string): string | undefined;
  headers: Headers;
  /** The broker's clock when it was first stored: one clock for all gateways. */
  storedAt: Date;
  /** Its place in the stream in which it was first stored. */
  sequence: number;
  /** 1 for the first attempt. */
  deliveries: number;
  /** Where it lies now: each counts deliveries of its own. */
  from: WorkQueueName | 'dead-letters';
}

/** By which the log lines of an event are found, in both services; undefined: it says none that is valid. */
export const traceIdIn = ({ header }: Pick<Delivery, 'header'>) => traceIdOf(header(headerNames.traceparent));

export function toDelivery(message: Msg, from: WorkQueueName): Delivery {
  const { deliveries, ...stored } = parseReply(message.reply ?? '');
  const headers: Headers = new Map(readHeaders(message) ?? []);
  // People publish by hand to `payment`: what a message there says of its origin is not believed.
  const origin = from === 'backlog' ? originOf(message.subject, headers) : undefined;
  const subject = from === 'backlog' ? withoutPrefix(message.subject) : message.subject;
  const seen = origin ?? { subject, headers, ...stored };
  return {
    ...seen,
    data: message.data,
    header: (name) => seen.headers.get(name)?.[0] || undefined,
    deliveries,
    from,
  };
}

/** The headers, or undefined when they cannot be read: the client throws at a name that is not a header's. */
function readHeaders(message: Msg): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    return undefined;
  }
}

/** What names a stored message among all that a stream ever held, or undefined when this is no delivery. */
export function storedKey(message: Msg): string | undefined {
  const tokens = replyTokens(message.reply ?? '');
  return tokens === undefined ? undefined : `${tokens.sequence}.${tokens.storedAtNanos}`;
}

function parseReply(reply: string): Pick<Delivery, 'storedAt' | 'sequence' | 'deliveries'> {
  const tokens = replyTokens(reply);
  if (tokens === undefined) throw new Error(`not a delivery of a consumer: ${reply}`);
  return {
    deliveries: Number(tokens.deliveries),
    sequence: Number(tokens.sequence),
    storedAt: new Date(Number(BigInt(tokens.storedAtNanos) / 1_000_000n)),
  };
}

/**
 * What the broker says about a delivery stands in the subject for its acknowledgement:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<…>.<stored at, ns>.<pending>`, and since 2.10 with two
 * more tokens (domain, account) behind `$JS.ACK` where the server is set so.
 */
function replyTokens(reply: string) {
  const tokens = reply.split('.');
  const [deliveries = '', sequence = '', , storedAtNanos = ''] = tokens.slice(tokens.length > 9 ? 6 : 4);
  if (tokens.length < 9 || !/^\d+$/.test(storedAtNanos)) return undefined;
  return { deliveries, sequence, storedAtNanos };
}

/** The words by which a delivery is settled. */
export const verdicts = {
  ack: '+ACK',
  /** Its ack wait begins anew. */
  working: '+WPI',
  /** The broker hands it out again after the delay, to whoever pulls. */
  nak: (delayMs: number) => (delayMs === 0 ? '-NAK' : `-NAK ${JSON.stringify({ delay: nanos(delayMs) })}`),
  /** It leaves the stream. */
  term: (reason: string) => `+TERM ${reason}`,
} as const;
