import type { KeyObject } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FieldError } from '@paystream/runtime';
import type { z } from 'zod';

/** One HTTP request from a source, as it came. */
export interface Webhook {
  headers: IncomingHttpHeaders;
  /** The bytes as received: signatures are over these and nothing else. */
  body: Uint8Array;
  receivedAt: Date;
}

/** A secret that counts now. A KeyObject shows its bytes to no log. */
export interface Key {
  /** By this name it stands in the log; never a part of it. */
  id: string;
  key: KeyObject;
}

/** Why a webhook is refused: all that its sender is told. */
export type RefusalCode =
  | 'signature-missing'
  | 'signature-malformed'
  | 'signature-wrong'
  /** Right, but made more than five minutes before or after our clock. */
  | 'signature-stale';

export type Verdict =
  | { kind: 'verified'; keyId: string }
  | { kind: 'refused'; code: RefusalCode }
  /** Where the signature stands in the body and that cannot be read. */
  | { kind: 'malformed'; detail: string };

/** What an adapter found for an event. The contract's schema judges it: nothing here needs to be of the right type. */
export interface Candidate {
  txId: unknown;
  action: unknown;
  amount: unknown;
  note: string;
  currency?: unknown;
  reference?: unknown;
  eventId?: unknown;
  occurredAt?: unknown;
}

export type Translation =
  /** `unmapped`: what it did not understand, one line each. It is kept for a person, and the sender gets its 200. */
  | { kind: 'translated'; candidates: Candidate[]; unmapped: string[] }
  /** For a sender that is to mend its events at once. */
  | { kind: 'invalid'; errors: FieldError[] };

export interface TranslationContext<Settings> {
  source: string;
  settings: Settings;
  /** What stands in the header `deliveryIdHeader`. */
  deliveryId: string | undefined;
}

/** What a sender would send: a body, and for what it is to be signed with. */
export interface Unsigned {
  body: string;
  keys: readonly Key[];
  /** The sender's clock, and its id of the webhook where it gives one outside of the body. */
  at: Date;
  id: string | undefined;
}

export interface Signed {
  body: string;
  headers: Record<string, string>;
}

/**
 * Verifies and translates the webhooks of one kind of sender. Never throws for what a sender can send. `Shape` is what a
 * source may set for it in SOURCES_FILE, besides what every source may.
 */
export interface Adapter<Shape extends z.ZodRawShape = z.ZodRawShape> {
  name: string;
  settings: Shape;
  /** Where the sender says which webhook this is, outside of the body; `verify` covers it. */
  deliveryIdHeader?: string;
  /** How a secret is written, in words for an operator. */
  secretRule: string;
  /** The key, or undefined when the text is no secret of this kind. */
  readSecret(text: string): KeyObject | undefined;
  /** What `verify` reads besides the body. Of a webhook that is refused these are kept, and no others. */
  signatureHeaders(settings: z.infer<z.ZodObject<Shape>>): readonly string[];
  /** Judges the bytes before anything of them is parsed, in a time that tells nothing about a key. */
  verify(webhook: Webhook, keys: readonly Key[], settings: z.infer<z.ZodObject<Shape>>): Verdict;
  /** `body`: the verified JSON. Fractions and exponents in it read as NaN (json-body.ts). */
  translate(body: unknown, context: TranslationContext<z.infer<z.ZodObject<Shape>>>): Translation;
  /** Signs as the sender would: for `npm run send` and the tests. */
  sign(unsigned: Unsigned, settings: z.infer<z.ZodObject<Shape>>): Signed;
  /** The body travels with the first message and is kept; false where it says no more than the event. */
  keepsBody: boolean;
}
