import { type Msg, type MsgHdrs, headers as newHeaders } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { type Delivery, readHeaders } from './delivery.ts';
import { actions, headerNames, subjectOf } from './messages.ts';
import { deadLetterStreamName, deadLetterSubject, originHeaders, paymentStreamName } from './streams.ts';

/** What a dead letter tells beside the message's own bytes and headers. */
export const deadLetterHeaders = {
  reason: 'Paystream-Reason',
  detail: 'Paystream-Detail',
  subject: 'Paystream-Subject',
  deliveries: 'Paystream-Deliveries',
  messageId: 'Paystream-Message-Id',
} as const;

interface DeadLetter {
  delivery: Delivery;
  message: Msg;
  reason: string;
  detail: string;
}

const deadLetterTimeoutMs = 5_000;
const knownSubjects: ReadonlySet<string> = new Set(actions.map(subjectOf));

/** Publishes the dead letter and waits for the broker's word; throws when it is not stored. */
export async function publishDeadLetter(
  broker: BrokerConnection,
  { delivery, message, reason, detail }: DeadLetter,
): Promise<void> {
  const connection = broker.current();
  if (connection === undefined) throw new Error('the broker is not connected');
  const headers = originalHeaders(message);
  headers.set(deadLetterHeaders.reason, headerSafe(reason));
  headers.set(deadLetterHeaders.detail, headerSafe(detail));
  headers.set(deadLetterHeaders.subject, headerSafe(delivery.subject));
  headers.set(deadLetterHeaders.deliveries, String(delivery.deliveries));
  headers.set(originHeaders.storedAt, delivery.storedAt.toISOString());
  headers.set(originHeaders.sequence, String(delivery.sequence));
  await connection
    .jetstream({ timeout: deadLetterTimeoutMs })
    .publish(deadLetterSubject(delivery.subject, knownSubjects), delivery.data, {
      headers,
      // A crash between this and the term brings the message again, and the same id then makes no second dead letter.
      msgID: `${paymentStreamName}.${delivery.sequence}.${delivery.storedAt.getTime()}`,
      expect: { streamName: deadLetterStreamName },
      timeout: deadLetterTimeoutMs,
    });
}

/** The message's own headers, less those by which the broker would act on the copy. */
function originalHeaders(message: Msg): MsgHdrs {
  const kept = newHeaders();
  for (const [name, values] of readHeaders(message) ?? []) {
    if (name === headerNames.messageId) kept.set(deadLetterHeaders.messageId, headerSafe(values[0] ?? ''));
    else if (!name.toLowerCase().startsWith('nats-')) {
      for (const value of values) kept.append(name, headerSafe(value));
    }
  }
  return kept;
}

/** A header value is one line of printable text. */
function headerSafe(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 1_000);
}
