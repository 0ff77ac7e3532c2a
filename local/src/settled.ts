import { z } from 'zod';

/** What a payment-service logs of a message that it is done with. Times are milliseconds since 1970. */
export interface Settled {
  txId: string;
  outcome: string;
  deliveries: number;
  /** By the broker's clock. */
  storedAt: number;
  appliedAt: number;
}

const time = z.string().transform(Date.parse);
const lineSchema = z.object({
  msg: z.literal('message.settled'),
  time,
  storedAt: time,
  outcome: z.string(),
  txId: z.string(),
  deliveries: z.number(),
});

/** The message that a log line is about, or undefined when it is about something else. */
export function readSettled(line: string): Settled | undefined {
  if (!line.includes('"message.settled"')) return undefined;
  const parsed = lineSchema.safeParse(JSON.parse(line));
  if (!parsed.success) return undefined;
  const { time: appliedAt, storedAt, outcome, txId, deliveries } = parsed.data;
  return { txId, outcome, deliveries, storedAt, appliedAt };
}
