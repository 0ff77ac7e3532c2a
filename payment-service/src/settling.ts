import {
  type Delivery,
  decodeEvent,
  type PaymentEvent,
  type Settled,
  type Settlement,
  type Subscription,
  traceIdIn,
} from '@paystream/nats';
import type { EveryFieldOf, IncomingEvent } from './domain/record.ts';
import type { RecordOutcome } from './record-events.ts';
import { isSuspect } from './suspects.ts';
import type { KeptWebhook } from './webhook-store.ts';

/** Where the database is away, `left` are the deliveries that were not settled. */
export type Applied = { kind: 'settled' } | { kind: 'away'; left: readonly Delivery[]; cause: unknown };

/**
 * Applies the deliveries exactly once and settles each. Rejects on a programming error only; then some may be settled
 * and others not.
 */
export type Apply = (subscription: Subscription, deliveries: readonly Delivery[]) => Promise<Applied>;

/** A delivery and what becomes of it. */
export interface Settling {
  delivery: Delivery;
  outcome: Outcome;
  event: IncomingEvent | undefined;
  /** The webhook that it came with. */
  webhookId?: string | undefined;
}

/** `webhook`: what it brought along to be kept. */
export type InHand =
  | EventInHand
  | { kind: 'unmapped'; delivery: Delivery; webhook: KeptWebhook }
  | { kind: 'unreadable'; delivery: Delivery; webhook?: undefined; reason: string; detail: string };

export interface EventInHand {
  kind: 'event';
  delivery: Delivery;
  event: IncomingEvent;
  webhook: KeptWebhook | undefined;
}

export type Outcome =
  | RecordOutcome
  | { kind: 'unmapped' }
  | { kind: 'unreadable'; reason: string; detail: string }
  | { kind: 'dead-letter'; reason: string; detail: string; firstError: string; lastError: string };
export const noOutcome: Outcome = { kind: 'retry', detail: 'no outcome is known' };

const levels = {
  applied: 'info',
  duplicate: 'info',
  retry: 'warn',
  // It is kept, and nobody waits for it.
  unmapped: 'warn',
  // Two contents under one event id, or a message that cannot be applied: a person must look.
  conflict: 'error',
  'dead-letter': 'error',
  unreadable: 'error',
} as const;

/** A failure that nobody expected is for a person, though it is tried again. */
export const levelOf = (outcome: Outcome) =>
  outcome.kind === 'retry' && outcome.error !== undefined ? 'error' : levels[outcome.kind];

/** The one line that the log has of it. */
export function lineOf({ delivery, outcome, event, webhookId }: Settling, settled: Settled, now: Date) {
  return {
    outcome: outcome.kind,
    settled,
    reason: 'reason' in outcome ? outcome.reason : undefined,
    detail: 'detail' in outcome ? outcome.detail : undefined,
    err: 'error' in outcome ? outcome.error : undefined,
    alone: isSuspect(delivery) ? true : undefined,
    txId: event?.txId,
    action: event?.action,
    eventId: event?.eventId,
    webhookId,
    sequence: delivery.sequence,
    deliveries: delivery.deliveries,
    storedAt: delivery.storedAt,
    lagMs: now.getTime() - delivery.storedAt.getTime(),
    traceId: traceIdIn(delivery),
  };
}

export function settlementOf(outcome: Outcome): Settlement {
  switch (outcome.kind) {
    case 'applied':
    case 'duplicate':
    case 'conflict':
    case 'unmapped':
      return { kind: 'ack' };
    case 'retry':
      return { kind: 'retry', detail: outcome.detail };
    case 'dead-letter':
    case 'unreadable':
      return { ...outcome, kind: 'dead-letter' };
    default:
      return outcome satisfies never;
  }
}

/** What is in hand, read as far as it can be. */
export function readDelivery(delivery: Delivery): InHand {
  const decoded = decodeEvent(delivery);
  switch (decoded.kind) {
    case 'unreadable':
      return { ...decoded, delivery };
    case 'unmapped': {
      const { source, receivedAt, webhook, reasons } = decoded.unmapped;
      return { kind: 'unmapped', delivery, webhook: toKept({ source, receivedAt, ...webhook, reasons }) };
    }
    case 'event':
      return readEvent(delivery, decoded.event, decoded.fingerprint);
    default:
      return decoded satisfies never;
  }
}

function readEvent(delivery: Delivery, decoded: PaymentEvent, fingerprint: string): EventInHand {
  const { source, occurredAt, receivedAt, webhook } = decoded;
  const { storedAt, sequence, deliveries } = delivery;
  // By name, as wherever many objects are made: what is spread into the midst of an object costs a multiple.
  const event: EveryFieldOf<IncomingEvent> = {
    txId: decoded.txId,
    eventId: decoded.eventId,
    fingerprint,
    action: decoded.action,
    amount: decoded.amount,
    note: decoded.note,
    source,
    currency: decoded.currency,
    reference: decoded.reference,
    webhookId: webhook?.id,
    occurredAt: occurredAt === undefined ? undefined : new Date(occurredAt),
    receivedAt: new Date(receivedAt),
    storedAt,
    sequence,
    deliveries,
  };
  const body = webhook?.body;
  const kept =
    webhook === undefined || body === undefined
      ? undefined
      : toKept({ source, receivedAt, ...webhook, body, reasons: [] });
  return { kind: 'event', delivery, event, webhook: kept };
}

function toKept({
  receivedAt,
  ...said
}: Omit<KeptWebhook, 'receivedAt'> & { receivedAt: string }): KeptWebhook {
  return { ...said, receivedAt: new Date(receivedAt) };
}
