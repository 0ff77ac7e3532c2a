import { hash } from 'node:crypto';
import { z } from 'zod';
import {
  amountFrom,
  currencySchema,
  eventIdSchema,
  noteSchema,
  sourceSchema,
  timeSchema,
  txIdSchema,
} from './fields.ts';
import {
  readUnmapped,
  type UnmappedWebhook,
  unmappedMessageId,
  unmappedSubject,
  webhookSchema,
} from './webhooks.ts';

/** What a third party can say about a transaction. A closed list: subjects are made from it, never from input. */
export const actions = [
  'NEW',
  'DRAFT',
  'UPDATE',
  'APPROVED',
  'AUTHORIZED',
  'DECLINED',
  'CAPTURED',
  'CANCELED',
  'REFUNDED',
  'DISPUTED',
] as const;
export type Action = (typeof actions)[number];

export const headerNames = {
  messageId: 'Nats-Msg-Id',
  traceparent: 'traceparent',
  version: 'Paystream-Version',
} as const;

const contractVersion = '1';
/** The payload on `payments.*`: one fact that a source told about one transaction. */
export const paymentEventSchema = z.object({
  txId: txIdSchema,
  action: z.enum(actions),
  amount: amountFrom(0),
  note: noteSchema,
  currency: currencySchema.optional(),
  reference: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters')
    .optional(),
  source: sourceSchema,
  eventId: eventIdSchema,
  occurredAt: timeSchema.optional(),
  receivedAt: timeSchema,
  /** The webhook that it came in, where that is kept. Not part of what the source said. */
  webhook: webhookSchema.optional(),
});
export type PaymentEvent = z.infer<typeof paymentEventSchema>;

/** An event that has no identity yet: `eventId` is missing where the source gave none. */
export type UnidentifiedEvent = Omit<PaymentEvent, 'eventId'> & { eventId?: string | undefined };

/** What a person may leave out who publishes with the nats CLI. */
export const eventByHandSchema = paymentEventSchema.extend({
  note: noteSchema.default(''),
  source: paymentEventSchema.shape.source.default('nats'),
  eventId: eventIdSchema.optional(),
  receivedAt: timeSchema.optional(),
});

/**
 * SHA-256 over the canonical JSON (RFC 8785) of what the source said, 32 hex characters. Of texts and safe integers that
 * is what `JSON.stringify` writes, so long as the names stand in their order here; what was not said is left out.
 */
function digest(event: UnidentifiedEvent, sourceEventId: string | undefined): string {
  const { txId, action, amount, currency, note, occurredAt, reference } = event;
  const said = { action, amount, currency, eventId: sourceEventId, note, occurredAt, reference, txId };
  return hash('sha256', JSON.stringify(said)).slice(0, 32);
}

/**
 * Gives the event its identity: the source's event id, else the fingerprint of what was said. Our own times
 * are not part of it, so a webhook sent again has the identity of the first.
 */
export function identify(event: UnidentifiedEvent): { event: PaymentEvent; fingerprint: string } {
  const bare = digest(event, undefined);
  // A decoded message carries the fingerprint in the place of an id that the source did not give.
  const hasSourceId = event.eventId !== undefined && event.eventId !== bare;
  const fingerprint = hasSourceId ? digest(event, event.eventId) : bare;
  return { event: { ...event, eventId: event.eventId ?? bare }, fingerprint };
}

/** `<txId>.<action>.<fingerprint>` in lower case: the broker's duplicate filter compares nothing else. */
export function messageIdOf(event: PaymentEvent): string {
  return `${event.txId}.${event.action}.${identify(event).fingerprint}`.toLowerCase();
}

/** The subject on which an event of this action travels. */
export function subjectOf(action: Action): string {
  return `payments.${action.toLowerCase()}`;
}

export interface EncodedMessage {
  subject: string;
  id: string;
  data: Uint8Array;
  headers: Record<string, string>;
}

/** The message for an event, or for a webhook that none was made of: the same bytes for the same content. */
export function encodeEvent(
  said: PaymentEvent | UnmappedWebhook,
  trace: { traceparent?: string | undefined } = {},
): EncodedMessage {
  const headers: Record<string, string> = { [headerNames.version]: contractVersion };
  if (trace.traceparent !== undefined) headers[headerNames.traceparent] = trace.traceparent;
  const data = Buffer.from(JSON.stringify(said));
  return 'action' in said
    ? { subject: subjectOf(said.action), id: messageIdOf(said), data, headers }
    : { subject: unmappedSubject, id: unmappedMessageId(said), data, headers };
}

/** Why a message can never be read. */
export type UnreadableReason =
  | 'unknown-version'
  | 'not-utf8'
  | 'not-json'
  | 'not-an-event'
  | 'not-a-webhook'
  | 'subject-mismatch';

export type Decoded =
  | { kind: 'event'; event: PaymentEvent; fingerprint: string }
  | { kind: 'unmapped'; unmapped: UnmappedWebhook }
  | { kind: 'unreadable'; reason: UnreadableReason; detail: string };

const unreadable = (reason: UnreadableReason, detail: string): Decoded => ({
  kind: 'unreadable',
  reason,
  detail,
});

// Made once: it costs more than what it reads.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads a message, also one published by hand. Never throws: what cannot be read comes back with the reason. */
export function decodeEvent(message: {
  subject: string;
  data: Uint8Array;
  header: (name: string) => string | undefined;
  storedAt: Date;
}): Decoded {
  const version = message.header(headerNames.version) ?? contractVersion;
  if (version !== contractVersion)
    return unreadable('unknown-version', `version ${version} is not known here`);

  let json: string;
  try {
    json = utf8.decode(message.data);
  } catch {
    return unreadable('not-utf8', 'the payload is not valid UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return unreadable('not-json', 'the payload is not JSON');
  }
  if (message.subject === unmappedSubject) {
    const parsed = readUnmapped(value);
    if (!parsed.success) return unreadable('not-a-webhook', inWords(parsed.error));
    return { kind: 'unmapped', unmapped: parsed.data };
  }
  const parsed = eventByHandSchema.safeParse(value);
  if (!parsed.success) return unreadable('not-an-event', inWords(parsed.error));
  const said = { ...parsed.data, receivedAt: parsed.data.receivedAt ?? message.storedAt.toISOString() };
  const subject = subjectOf(said.action);
  if (message.subject !== subject) {
    return unreadable(
      'subject-mismatch',
      `action ${said.action} belongs on ${subject}, not ${message.subject}`,
    );
  }
  return { kind: 'event', ...identify(said) };
}

function inWords({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join('.') || 'payload'}: ${message}`).join('; ');
}
