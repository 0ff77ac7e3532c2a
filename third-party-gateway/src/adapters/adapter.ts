import type { IncomingHttpHeaders } from 'node:http';
import type { PaymentEvent } from '@paystream/nats';
import type { FieldError } from '@paystream/runtime';

/** One HTTP request from a source, as it came. */
export interface Webhook {
  source: string;
  headers: IncomingHttpHeaders;
  /** The bytes as received: signatures are over these and nothing else. */
  body: Uint8Array;
  receivedAt: Date;
}

export type Translation =
  | { kind: 'event'; event: PaymentEvent }
  | { kind: 'malformed'; detail: string }
  | { kind: 'invalid'; errors: FieldError[] };

/** Verifies and translates the webhooks of one kind of sender. Never throws for what a sender can send. */
export interface Adapter {
  translate(webhook: Webhook): Translation;
}
