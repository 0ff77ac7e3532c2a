import { type MsgHdrs, headers as newHeaders } from 'nats';
import type { BrokerConnection } from './connection.ts';
import type { Delivery } from './delivery.ts';
import { actions, subjectOf } from './messages.ts';
import { copiedHeaders, originHeaders, originId } from './origin.ts';
import { deadLetterStreamName, deadLetterSubject } from './streams.ts';
import { unmappedSubject } from './webhooks.ts';

/** What a dead letter tells beside the message's own bytes and headers. */
export const deadLetterHeaders = {
  reason: 'Paystream-Reason',
  detail: 'Paystream-Detail',
  subject: originHeaders.subject,
  deliveries: 'Paystream-Deliveries',
  messageId: originHeaders.messageId,
  firstError: 'Paystream-First-Error',
  lastError: 'Paystream-Last-Error',
} as const;

interface DeadLetter {
  delivery: Delivery;
  reason: string;
  detail: string;
  firstError?: string;
  lastError?: string;
}

const deadLetterTimeoutMs = 5_000;
export const knownSubjects: ReadonlySet<string> = new Set([...actions.map(subjectOf), unmappedSubject]);

/** Publishes the dead letter and waits for the broker's word; throws when it is not stored. */
export async function publishDeadLetter(
  broker: BrokerConnection,
  { delivery, reason, detail, firstError, lastError }: DeadLetter,
): Promise<void> {
  const connection = broker.current();
  if (connection === undefined) throw new Error('the broker is not connected');
  const headers = safeHeaders(delivery);
  headers.set(deadLetterHeaders.reason, headerSafe(reason));
  headers.set(deadLetterHeaders.detail, headerSafe(detail));
  headers.set(deadLetterHeaders.deliveries, String(delivery.deliveries));
  if (firstError !== undefined) headers.set(deadLetterHeaders.firstError, headerSafe(firstError));
  if (lastError !== undefined) headers.set(deadLetterHeaders.lastError, headerSafe(lastError));
  await connection
    .jetstream({ timeout: deadLetterTimeoutMs })
    .publish(deadLetterSubject(delivery.subject, knownSubjects), delivery.data, {
      headers,
      // A crash between this and the term brings the message again, and the same id then makes no second dead letter.
      msgID: originId(delivery),
      expect: { streamName: deadLetterStreamName },
      timeout: deadLetterTimeoutMs,
    });
}

function safeHeaders(delivery: Delivery): MsgHdrs {
  const safe = newHeaders();
  for (const [name, values] of copiedHeaders(delivery)) {
    for (const value of values) safe.append(name, headerSafe(value));
  }
  return safe;
}

/** A header value is one line of printable text. */
function headerSafe(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 1_000);
}
