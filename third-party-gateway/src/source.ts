import { createHash } from 'node:crypto';
import { identify, type PaymentEvent, paymentEventSchema } from '@paystream/nats';
import type { FieldError } from '@paystream/runtime';
import type { z } from 'zod';
import type { Adapter, Candidate, Key, RefusalCode, Verdict, Webhook } from './adapters/adapter.ts';
import { readJsonBody } from './json-body.ts';
import { createLimit } from './limit.ts';

/** What is to be done with a webhook. Whoever takes it in does that, and knows nothing of senders. */
export type Decision =
  | { kind: 'refused'; code: RefusalCode }
  | { kind: 'malformed'; detail: string }
  | { kind: 'invalid'; errors: FieldError[] }
  | (Accepted & { kind: 'accepted' });

/** Every wrong field, for a person. */
export const inOneLine = (errors: readonly FieldError[]) =>
  errors.map(({ field, message }) => `${field} ${message}`).join('; ');

export interface Accepted {
  /** Which secret the sender used; `none` where nothing is verified. */
  keyId: string;
  events: PaymentEvent[];
  /** What was not understood, one line each for a person. */
  unmapped: string[];
  /** What is kept of it; undefined where it says no more than its events. */
  webhook: ReceivedWebhook | undefined;
}

/** A verified webhook as it is kept. */
export interface ReceivedWebhook {
  /** The same for the same body, so that one sent again is known. */
  id: string;
  source: string;
  deliveryId: string | undefined;
  receivedAt: string;
  /** Its text; from this it can be translated again. */
  body: string;
}

/** A configured sender of webhooks. */
export interface Source {
  name: string;
  adapter: string;
  /** False: `verify: none`. */
  verifies: boolean;
  /** What a 200 says. */
  answer: 'json' | 'accepted';
  /** Counts a verified webhook against the source's limit: how many seconds to wait, or undefined. Undefined: no limit. */
  admit: (() => Promise<number | undefined>) | undefined;
  /** The headers that a webhook is verified by, in lower case. */
  signatureHeaders: readonly string[];
  /** Bytes and headers in, decision out. Never throws for what a sender can send. */
  decide(webhook: Webhook): Decision;
  /** The same for one that was verified when it came. */
  translate(webhook: Verified): Exclude<Decision, { kind: 'refused' }>;
}

/** A webhook that was verified, now or once. */
export interface Verified {
  keyId: string;
  body: Uint8Array;
  deliveryId: string | undefined;
  receivedAt: Date;
}

export interface SourceSecret extends Key {
  until?: Date | undefined;
}

export interface SourceOptions {
  name: string;
  adapter: Adapter;
  settings: Record<string, unknown>;
  verifies: boolean;
  secrets: readonly SourceSecret[];
  currency: string | undefined;
  answer: 'json' | 'accepted';
  /** Verified webhooks a second. */
  limit?: number | undefined;
}

// A webhook of 256 KiB has no more items than this.
const eventsMax = 1_000;
const nobody = 'none';

export function createSource(options: SourceOptions): Source {
  const { name, adapter, settings, verifies, secrets, answer, limit } = options;
  const admit = limit === undefined ? undefined : createLimit(limit);

  const judge = (webhook: Webhook): Verdict => {
    if (!verifies) return { kind: 'verified', keyId: nobody };
    const active = secrets.filter(({ until }) => until === undefined || webhook.receivedAt < until);
    return adapter.verify(webhook, active, settings);
  };

  const translate: Source['translate'] = (webhook) => {
    const { keyId, deliveryId } = webhook;
    const json = readJsonBody(webhook.body);
    if (json.kind === 'refused') return { kind: 'malformed', detail: json.detail };
    const translation = adapter.translate(json.value, { source: name, settings, deliveryId });
    if (translation.kind === 'invalid') return translation;

    const receivedAt = webhook.receivedAt.toISOString();
    const unmapped = [...translation.unmapped];
    const events: PaymentEvent[] = [];
    for (const candidate of translation.candidates.slice(0, eventsMax)) {
      const judged = toEvent(candidate, options, receivedAt);
      if (judged.kind === 'event') events.push(judged.event);
      else unmapped.push(judged.why);
    }
    if (translation.candidates.length > eventsMax) unmapped.push(`it has more than ${eventsMax} events`);
    if (events.length + unmapped.length === 0) unmapped.push('it says nothing about a payment');
    const isKept = adapter.keepsBody || unmapped.length > 0;
    const kept = isKept ? receivedOf(name, webhook) : undefined;
    return { kind: 'accepted', keyId, events, unmapped, webhook: kept };
  };

  const decide: Source['decide'] = (webhook) => {
    const verdict = judge(webhook);
    if (verdict.kind !== 'verified') return verdict;
    const { deliveryIdHeader } = adapter;
    const given = deliveryIdHeader === undefined ? undefined : webhook.headers[deliveryIdHeader];
    const deliveryId = given === undefined ? undefined : String(given);
    const { body, receivedAt } = webhook;
    return translate({ keyId: verdict.keyId, body, deliveryId, receivedAt });
  };

  const signatureHeaders = adapter.signatureHeaders(settings);
  return { name, adapter: adapter.name, verifies, answer, admit, signatureHeaders, decide, translate };
}

function receivedOf(source: string, { body, deliveryId, receivedAt }: Verified): ReceivedWebhook {
  const hash = createHash('sha256')
    .update(`${source} ${deliveryId ?? ''} `)
    .update(body);
  return {
    id: hash.digest('hex').slice(0, 32),
    source,
    deliveryId,
    receivedAt: receivedAt.toISOString(),
    // It was read as UTF-8 before, and strictly; a byte order mark is no JSON.
    body: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'),
  };
}

type Judged = { kind: 'event'; event: PaymentEvent } | { kind: 'unmapped'; why: string };

// Without what we say ourselves: the name was judged with the file of sources, and the time is our clock's.
const saidSchema = paymentEventSchema
  .omit({ source: true, receivedAt: true })
  .extend({ eventId: paymentEventSchema.shape.eventId.optional() });

/** The contract decides what an event is, for every adapter alike. */
function toEvent(
  candidate: Candidate,
  { name, currency: usual }: Pick<SourceOptions, 'name' | 'currency'>,
  receivedAt: string,
): Judged {
  const time = saidSchema.shape.occurredAt.safeParse(candidate.occurredAt);
  // Written out, as all of one shape: a copy with additions costs more than the judgement.
  const { txId, action, amount, note } = candidate;
  const parsed = saidSchema.safeParse({
    txId,
    action,
    amount,
    note,
    currency: candidate.currency ?? usual,
    reference: candidate.reference ?? undefined,
    eventId: candidate.eventId ?? undefined,
    // A time that cannot be read costs the event its place by it, and nothing else: the broker's stands in.
    occurredAt: time.success ? time.data : undefined,
  });
  if (!parsed.success) return { kind: 'unmapped', why: inWords(parsed.error, candidate) };
  const said = parsed.data;
  const { event } = identify({
    txId: said.txId,
    action: said.action,
    amount: said.amount,
    note: said.note,
    currency: said.currency,
    reference: said.reference,
    source: name,
    eventId: said.eventId,
    occurredAt: said.occurredAt,
    receivedAt,
  });
  return { kind: 'event', event };
}

/** Which field is missing or wrong, and never what it holds. */
function inWords(error: z.ZodError, candidate: Candidate): string {
  const said: Record<string, unknown> = { ...candidate };
  const faults = error.issues.map(({ path: [field = 'event'], message }) =>
    said[String(field)] === undefined ? `${String(field)} is missing` : `${String(field)} ${message}`,
  );
  return faults.join('; ');
}
