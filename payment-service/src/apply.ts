import { type Delivery, decodeEvent, headerNames, type Settlement, type Subscription } from '@paystream/nats';
import { type Log, type PassPoint, passBy } from '@paystream/runtime';
import type { IncomingEvent } from './domain/record.ts';
import { type RecordOutcome, recordEvents } from './record-events.ts';
import type { TransactionStore } from './store.ts';

/**
 * Applies the deliveries exactly once and settles each. Rejects when the database is away (StoreUnavailable) or on a
 * programming error; then none of them is settled.
 */
export type Apply = (subscription: Subscription, deliveries: readonly Delivery[]) => Promise<void>;

export interface ApplyOptions {
  store: TransactionStore;
  log: Log;
  now: () => Date;
  pass?: PassPoint;
}

/** What both ways into the record do with messages: the live one and the replay. */
export function createApply({ store, log, now, pass = passBy }: ApplyOptions): Apply {
  const record = {
    ...store,
    writeChanges: (...args: Parameters<TransactionStore['writeChanges']>) => {
      pass('before-write');
      return store.writeChanges(...args);
    },
  };

  const settle = async (subscription: Subscription, { delivery, outcome, event }: Settling) => {
    const settled = await subscription.settle(delivery, settlementOf(outcome));
    const line = {
      outcome: outcome.kind,
      settled,
      ...('reason' in outcome ? { reason: outcome.reason } : {}),
      ...('detail' in outcome ? { detail: outcome.detail } : {}),
      txId: event?.txId,
      action: event?.action,
      eventId: event?.eventId,
      sequence: delivery.sequence,
      deliveries: delivery.deliveries,
      storedAt: delivery.storedAt,
      lagMs: now().getTime() - delivery.storedAt.getTime(),
      traceparent: delivery.header(headerNames.traceparent),
    };
    log[levels[outcome.kind]](line, 'message.settled');
  };

  return async (subscription, deliveries) => {
    const inHand = deliveries.map(read);
    const readable = inHand.filter((item) => item.kind === 'event');
    const outcomes = await recordEvents(
      { store: record, now },
      readable.map(({ event }) => event),
    );
    if (readable.length > 0) pass('after-write-before-ack');
    const settlings: Settling[] = [
      ...readable.map(({ delivery, event }, index) => ({
        delivery,
        event,
        outcome: outcomes[index] ?? noOutcome,
      })),
      ...inHand
        .filter((item) => item.kind === 'unreadable')
        .map((item) => ({ delivery: item.delivery, outcome: item, event: undefined })),
    ];
    await Promise.all(settlings.map((settling) => settle(subscription, settling)));
  };
}

interface Settling {
  delivery: Delivery;
  outcome: Outcome;
  event: IncomingEvent | undefined;
}

type InHand =
  | { kind: 'event'; delivery: Delivery; event: IncomingEvent }
  | { kind: 'unreadable'; delivery: Delivery; reason: string; detail: string };

type Outcome = RecordOutcome | { kind: 'unreadable'; reason: string; detail: string };

const noOutcome: Outcome = { kind: 'retry', detail: 'no outcome is known' };

const levels = {
  applied: 'info',
  duplicate: 'info',
  retry: 'warn',
  // Two contents under one event id, or a message that cannot be applied: a person must look.
  conflict: 'error',
  'dead-letter': 'error',
  unreadable: 'error',
} as const;

function settlementOf(outcome: Outcome): Settlement {
  switch (outcome.kind) {
    case 'applied':
    case 'duplicate':
    case 'conflict':
      return { kind: 'ack' };
    case 'retry':
      return { kind: 'retry', detail: outcome.detail };
    case 'dead-letter':
    case 'unreadable':
      return { kind: 'dead-letter', reason: outcome.reason, detail: outcome.detail };
    default:
      return outcome satisfies never;
  }
}

function read(delivery: Delivery): InHand {
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
