import {
  type Delivery,
  decodeEvent,
  headerNames,
  type Settled,
  type Settlement,
  type Subscription,
} from '@paystream/nats';
import type { IncomingEvent } from './domain/record.ts';
import type { RecordOutcome } from './record-events.ts';
import { isSuspect } from './suspects.ts';

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
}

export type InHand =
  | { kind: 'event'; delivery: Delivery; event: IncomingEvent }
  | { kind: 'unreadable'; delivery: Delivery; reason: string; detail: string };

export type Outcome =
  | RecordOutcome
  | { kind: 'unreadable'; reason: string; detail: string }
  | { kind: 'dead-letter'; reason: string; detail: string; firstError: string; lastError: string };
export const noOutcome: Outcome = { kind: 'retry', detail: 'no outcome is known' };

const levels = {
  applied: 'info',
  duplicate: 'info',
  retry: 'warn',
  // Two contents under one event id, or a message that cannot be applied: a person must look.
  conflict: 'error',
  'dead-letter': 'error',
  unreadable: 'error',
} as const;

/** A failure that nobody expected is for a person, though it is tried again. */
export const levelOf = (outcome: Outcome) =>
  outcome.kind === 'retry' && outcome.error !== undefined ? 'error' : levels[outcome.kind];

/** The one line that the log has of it. */
export function lineOf({ delivery, outcome, event }: Settling, settled: Settled, now: Date) {
  return {
    outcome: outcome.kind,
    settled,
    ...('reason' in outcome ? { reason: outcome.reason } : {}),
    ...('detail' in outcome ? { detail: outcome.detail } : {}),
    ...('error' in outcome ? { err: outcome.error } : {}),
    ...(isSuspect(delivery) ? { alone: true } : {}),
    txId: event?.txId,
    action: event?.action,
    eventId: event?.eventId,
    sequence: delivery.sequence,
    deliveries: delivery.deliveries,
    storedAt: delivery.storedAt,
    lagMs: now.getTime() - delivery.storedAt.getTime(),
    traceparent: delivery.header(headerNames.traceparent),
  };
}

export function settlementOf(outcome: Outcome): Settlement {
  switch (outcome.kind) {
    case 'applied':
    case 'duplicate':
    case 'conflict':
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
  if (decoded.kind === 'unreadable') return { ...decoded, delivery };
  const { occurredAt, receivedAt, ...said } = decoded.event;
  const { storedAt, sequence, deliveries } = delivery;
  const event: IncomingEvent = {
    ...said,
    fingerprint: decoded.fingerprint,
    occurredAt: occurredAt === undefined ? undefined : new Date(occurredAt),
    receivedAt: new Date(receivedAt),
    storedAt,
    sequence,
    deliveries,
  };
  return { kind: 'event', delivery, event };
}
