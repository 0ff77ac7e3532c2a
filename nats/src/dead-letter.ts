import type { JsMsg } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { actions, headerNames, subjectOf } from './messages.ts';
import { toHeaders } from './publisher.ts';
import { deadLetterStreamName, deadLetterSubject, originHeaders, paymentStreamName } from './streams.ts';
import type { Delivery } from './subscription.ts';

/** What a dead letter tells beside the message's own bytes and headers. */
export const deadLetterHeaders = {
  reason: 'Paystream-Reason',
  detail: 'Paystream-Detail',
  subject: 'Paystream-Subject',
  deliveries: 'Paystream-Deliveries',
  messageId: 'Paystream-Message-Id',
} as const;

const deadLetterTimeoutMs = 5_000;
const knownSubjects: ReadonlySet<string> = new Set(actions.map(subjectOf));

/** Publishes the dead letter and waits for the broker's word; throws when it is not stored. */
export async function publishDeadLetter(
  broker: BrokerConnection,
  delivery: Delivery,
  message: JsMsg,
  { reason, detail }: { reason: string; detail: string },
): Promise<void> {
  const connection = broker.current();
  if (connection === undefined) throw new Error('the broker is not connected');
  const hdrs = toHeaders({
    ...originalHeaders(message),
    [deadLetterHeaders.reason]: reason,
    [deadLetterHeaders.detail]: headerSafe(detail),
    [deadLetterHeaders.subject]: delivery.subject,
    [deadLetterHeaders.deliveries]: String(delivery.deliveries),
    [originHeaders.storedAt]: delivery.storedAt.toISOString(),
    [originHeaders.sequence]: String(delivery.sequence),
  });
  await connection
    .jetstream({ timeout: deadLetterTimeoutMs })
    .publish(deadLetterSubject(delivery.subject, knownSubjects), delivery.data, {
      headers: hdrs,
      // A crash between this and the term brings the message again, and the same id then makes no second dead letter.
      msgID: `${paymentStreamName}.${delivery.sequence}.${delivery.storedAt.getTime()}`,
      expect: { streamName: deadLetterStreamName },
      timeout: deadLetterTimeoutMs,
    });
}

/** The message's own headers, less those by which the broker would act on the copy. */
function originalHeaders(message: JsMsg): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, values] of message.headers ?? []) {
    const value = values[0];
    if (value === undefined) continue;
    if (name === headerNames.messageId) kept[deadLetterHeaders.messageId] = headerSafe(value);
    else if (!name.toLowerCase().startsWith('nats-')) kept[name] = headerSafe(value);
  }
  return kept;
}

/** A header value is one line of printable text. */
function headerSafe(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 1_000);
}
