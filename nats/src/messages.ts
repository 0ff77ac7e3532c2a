import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { z } from 'zod';
import { currencies } from './currencies.ts';

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
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Text that survives UTF-8: a lone surrogate would be stored as another character than the one sent. */
const text = (max: number) =>
  z
    .string()
    .refine((value) => value.isWellFormed(), 'must be well-formed Unicode')
    .refine((value) => value.length <= max || [...value].length <= max, `must have at most ${max} characters`)
    .meta({ maxLength: max });

/** A time with an offset, kept as UTC with milliseconds. An offset can carry it out of the years that the format has. */
const time = z.iso
  .datetime({ offset: true })
  .refine((value) => utc(value).length === 24, 'must be a time in the years 0000 to 9999')
  .transform(utc);

function utc(value: string): string {
  const at = new Date(value);
  return Number.isNaN(at.getTime()) ? '' : at.toISOString();
}

/** A transaction id; the same UUID in other letters is the same transaction. */
export const txIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9_.:-]{1,128}$/, 'must be a UUID, or 1 to 128 of A-Z a-z 0-9 _ . : -')
  .transform((value) => (uuid.test(value) ? value.toLowerCase() : value));

/** The sender's UUID in lower case, as `x-payment` names transactions. */
export const uuidSchema = z
  .string()
  .regex(uuid, 'must be a UUID')
  .transform((value) => value.toLowerCase());

export const eventIdSchema = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters');
export const noteSchema = text(1_000);

/** Minor units from `min`; the upper end is the largest integer that JSON readers agree on. */
export const amountFrom = (min: number) =>
  z
    .number('must be an integer in minor units')
    .refine((value) => Number.isSafeInteger(value) && !Object.is(value, -0), {
      error: `must be an integer in minor units, up to ${Number.MAX_SAFE_INTEGER}`,
      abort: true,
    })
    .refine((value) => value >= min, `must be ${min} or more`)
    .meta({ type: 'integer', minimum: min, maximum: Number.MAX_SAFE_INTEGER });

/** The payload on `payments.*`: one fact that a source told about one transaction. */
export const paymentEventSchema = z.object({
  txId: txIdSchema,
  action: z.enum(actions),
  amount: amountFrom(0),
  note: noteSchema,
  currency: z
    .string()
    .refine((code) => currencies.has(code), 'must be an ISO 4217 code')
    .optional(),
  reference: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters')
    .optional(),
  source: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a lower-case name'),
  eventId: eventIdSchema,
  occurredAt: time.optional(),
  receivedAt: time,
});
export type PaymentEvent = z.infer<typeof paymentEventSchema>;

/** An event that has no identity yet: `eventId` is missing where the source gave none. */
export type UnidentifiedEvent = Omit<PaymentEvent, 'eventId'> & { eventId?: string | undefined };

/** What a person may leave out who publishes with the nats CLI. */
const tolerantSchema = paymentEventSchema.extend({
  note: noteSchema.default(''),
  source: paymentEventSchema.shape.source.default('nats'),
  eventId: eventIdSchema.optional(),
  receivedAt: time.optional(),
});

/** SHA-256 over the canonical JSON (RFC 8785) of what the source said, 32 hex characters. */
function digest(event: UnidentifiedEvent, sourceEventId: string | undefined): string {
  const { txId, action, amount, note, currency, reference, occurredAt } = event;
  const said = { txId, action, amount, note, currency, reference, occurredAt, eventId: sourceEventId };
  const known = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
  return createHash('sha256')
    .update(canonicalize(known) ?? '')
    .digest('hex')
    .slice(0, 32);
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

/** The message for an event, the same bytes for the same event. */
export function encodeEvent(
  event: PaymentEvent,
  trace: { traceparent?: string | undefined } = {},
): EncodedMessage {
  const headers: Record<string, string> = { [headerNames.version]: contractVersion };
  if (trace.traceparent !== undefined) headers[headerNames.traceparent] = trace.traceparent;
  return {
    subject: subjectOf(event.action),
    id: messageIdOf(event),
    data: new TextEncoder().encode(JSON.stringify(event)),
    headers,
  };
}

/** Why a message can never be read. */
export type UnreadableReason =
  | 'unknown-version'
  | 'not-utf8'
  | 'not-json'
  | 'not-an-event'
  | 'subject-mismatch';

export type Decoded =
  | { kind: 'event'; event: PaymentEvent; fingerprint: string }
  | { kind: 'unreadable'; reason: UnreadableReason; detail: string };

const unreadable = (reason: UnreadableReason, detail: string): Decoded => ({
  kind: 'unreadable',
  reason,
  detail,
});

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
    json = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(message.data);
  } catch {
    return unreadable('not-utf8', 'the payload is not valid UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return unreadable('not-json', 'the payload is not JSON');
  }
  const parsed = tolerantSchema.safeParse(value);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'payload'}: ${issue.message}`,
    );
    return unreadable('not-an-event', issues.join('; '));
  }
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
