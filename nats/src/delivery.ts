import { type Msg, type MsgHdrs, nanos } from 'nats';

/** One attempt to hand a message to us. */
export interface Delivery {
  subject: string;
  data: Uint8Array;
  header(name: string): string | undefined;
  /** The broker's clock when it was stored: one clock for all gateways. */
  storedAt: Date;
  /** Its place in the stream. */
  sequence: number;
  /** 1 for the first attempt. */
  deliveries: number;
}

export function toDelivery(message: Msg): Delivery {
  const headers = readHeaders(message);
  return {
    subject: message.subject,
    data: message.data,
    header: (name) => headers?.get(name) || undefined,
    ...parseReply(message.reply ?? ''),
  };
}

/** The headers, or undefined when they cannot be read: the client throws at a name that is not a header's. */
export function readHeaders(message: Msg): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    return undefined;
  }
}

/**
 * What the broker says about a delivery stands in the subject for its acknowledgement:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<…>.<stored at, ns>.<pending>`, and since 2.10 with two
 * more tokens (domain, account) behind `$JS.ACK` where the server is set so.
 */
function parseReply(reply: string): Pick<Delivery, 'storedAt' | 'sequence' | 'deliveries'> {
  const tokens = reply.split('.');
  const [deliveries = '', sequence = '', , storedAt = ''] = tokens.slice(tokens.length > 9 ? 6 : 4);
  if (tokens.length < 9 || !/^\d+$/.test(storedAt)) throw new Error(`not a delivery of a consumer: ${reply}`);
  return {
    deliveries: Number(deliveries),
    sequence: Number(sequence),
    storedAt: new Date(Number(BigInt(storedAt) / 1_000_000n)),
  };
}

/** The words by which a delivery is settled. */
export const verdicts = {
  ack: '+ACK',
  /** The broker hands it out again after the delay, to whoever pulls. */
  nak: (delayMs: number) => (delayMs === 0 ? '-NAK' : `-NAK ${JSON.stringify({ delay: nanos(delayMs) })}`),
  /** It leaves the stream. */
  term: (reason: string) => `+TERM ${reason}`,
} as const;
