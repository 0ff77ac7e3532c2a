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

/** What the broker says about a delivery. */
export interface Place extends Pick<Delivery, 'storedAt' | 'sequence' | 'deliveries'> {
  /** Names the message among all that a stream ever held. */
  key: string;
}

export interface Placed {
  message: Msg;
  place: Place;
}

/** What the delivery was made of. Carried along: a table that lives long keeps alive what has stood in it. */
const placed = Symbol('placed');
export type Taken = Delivery & { readonly [placed]: Placed };
export const placedOf = (delivery: Taken): Placed => delivery[placed];

/** By which the log lines of an event are found, in both services; undefined: it says none that is valid. */
export const traceIdIn = ({ header }: Pick<Delivery, 'header'>) => traceIdOf(header(headerNames.traceparent));

export function toDelivery(given: Placed, from: WorkQueueName): Taken {
  const { message } = given;
  const { deliveries, sequence, storedAt } = given.place;
  const { subject, data } = message;
  if (from === 'payment') {
    // People publish by hand to `payment`: what a message there says of its origin is not believed.
    const header = (name: string) => readHeaders(message)?.get(name) || undefined;
    let all: Headers | undefined;
    return {
      subject,
      data,
      header,
      // All of them are wanted only where the message goes elsewhere.
      get headers() {
        all ??= new Map(readHeaders(message) ?? []);
        return all;
      },
      storedAt,
      sequence,
      deliveries,
      from,
      [placed]: given,
    };
  }
  const headers: Headers = new Map(readHeaders(message) ?? []);
  const here = { subject: withoutPrefix(subject), headers, storedAt, sequence };
  const origin = originOf(subject, headers) ?? here;
  const header = (name: string) => origin.headers.get(name)?.[0] || undefined;
  return { ...origin, data, header, deliveries, from, [placed]: given };
}

/** The headers, or undefined when they cannot be read: the client throws at a name that is not a header's. */
function readHeaders(message: Msg): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    return undefined;
  }
}

// A millisecond has a million nanoseconds: so many digits of them are cut off.
const nanosDigits = 6;

/**
 * Where a message lies and how often it was handed out, or undefined when this is no delivery. It stands in the subject for
 * its acknowledgement: `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<…>.<stored at, ns>.<pending>`, and since 2.10
 * with two more tokens (domain, account) behind `$JS.ACK` where the server is set so.
 */
export function placeOf({ reply = '' }: Msg): Place | undefined {
  const tokens = reply.split('.');
  const first = tokens.length > 9 ? 6 : 4;
  const deliveries = tokens[first];
  const sequence = tokens[first + 1];
  const storedAtNanos = tokens[first + 3] ?? '';
  if (tokens.length < 9 || !/^\d+$/.test(storedAtNanos)) return undefined;
  return {
    key: `${sequence}.${storedAtNanos}`,
    deliveries: Number(deliveries),
    sequence: Number(sequence),
    storedAt: new Date(Number(storedAtNanos.slice(0, -nanosDigits))),
  };
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
