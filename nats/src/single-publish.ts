import { headers, type JetStreamClient, type NatsConnection, NatsError } from 'nats';
import { type BrokerConnection, isBrokerLost, untilDown } from './connection.ts';
import type { EncodedMessage } from './messages.ts';
import { fullCodes } from './outgoing.ts';
import { paymentStreamName } from './streams.ts';

export type UnavailableReason =
  | 'broker-down'
  | 'no-answer'
  | 'stream-missing'
  | 'stream-full'
  | 'too-many'
  | 'refused';

/** What the broker says of one message, or why it says nothing. */
export type Word =
  | { status: 'stored'; sequence: number; duplicate: boolean }
  | { status: 'unavailable'; reason: UnavailableReason; detail: string };

export const unavailable = (reason: UnavailableReason, detail: string): Word => ({
  status: 'unavailable',
  reason,
  detail,
});
export const noAnswer = unavailable('no-answer', 'the broker did not answer in time');

/** One message, one acknowledgement. Never rejects. */
export async function publishSingly(
  broker: BrokerConnection,
  connection: NatsConnection,
  message: EncodedMessage,
  timeoutMs: number,
): Promise<Word> {
  const js = connection.jetstream({ timeout: timeoutMs });
  try {
    const { seq, duplicate } = await untilDown(broker, send(js, message, timeoutMs));
    return { status: 'stored', sequence: seq, duplicate };
  } catch (error) {
    return reasonOf(error);
  }
}

// Async, so that what the client throws at once rejects like the rest.
async function send(js: JetStreamClient, message: EncodedMessage, timeoutMs: number) {
  const hdrs = headers();
  for (const [name, value] of Object.entries(message.headers)) hdrs.set(name, value);
  return js.publish(message.subject, message.data, {
    msgID: message.id,
    headers: hdrs,
    timeout: timeoutMs,
    // Another stream that took over the subject must not be mistaken for the work queue.
    expect: { streamName: paymentStreamName },
  });
}

export function reasonOf(error: unknown): Word {
  if (isBrokerLost(error)) return unavailable('broker-down', error.message);
  if (!(error instanceof NatsError)) return unavailable('refused', String(error));
  if (error.code === 'TIMEOUT') return noAnswer;
  if (error.code === '503' && error.api_error === undefined) {
    return unavailable('stream-missing', `no stream takes the message; is ${paymentStreamName} there?`);
  }
  if (error.code === 'CONNECTION_CLOSED' || error.code === 'CONNECTION_DRAINING') {
    return unavailable('broker-down', error.message);
  }
  if (error.api_error !== undefined && fullCodes.has(error.api_error.err_code ?? 0)) {
    return unavailable('stream-full', error.message);
  }
  return unavailable('refused', error.message);
}
