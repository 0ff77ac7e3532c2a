import {
  type Delivery,
  decodeEvent,
  headerNames,
  type PaymentEvent,
  type Settlement,
  type Subscription,
} from '@paystream/nats';
import type { Log } from '@paystream/runtime';
import type { IncomingEvent } from './domain/record.ts';
import { type RecordOutcome, recordEvents } from './record-events.ts';
import type { TransactionStore } from './store.ts';
import type { KeptWebhook, WebhookStore } from './webhook-store.ts';

/**
 * Applies the deliveries exactly once and settles each. Rejects when the database is away (StoreUnavailable) or on a
 * programming error; then none of them is settled.
 */
export type Apply = (subscription: Subscription, deliveries: readonly Delivery[]) => Promise<void>;

export interface ApplyOptions {
  store: TransactionStore;
  webhooks: WebhookStore;
  log: Log;
  now: () => Date;
}

/** What both ways into the record do with messages: the live one and the replay. */
export function createApply({ store, webhooks, log, now }: ApplyOptions): Apply {
  const settle = async (subscription: Subscription, { delivery, outcome, event, webhookId }: Settling) => {
    const settled = await subscription.settle(delivery, settlementOf(outcome));
    const line = {
      outcome: outcome.kind,
      settled,
      ...('reason' in outcome ? { reason: outcome.reason } : {}),
      ...('detail' in outcome ? { detail: outcome.detail } : {}),
      txId: event?.txId,
      action: event?.action,
      eventId: event?.eventId,
      webhookId,
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
    // Before the events: what a history entry links to is there.
    const unkept = await webhooks.keep(inHand.flatMap(({ webhook }) => webhook ?? []));
    const unkeptDetail = ({ webhook }: InHand) =>
      webhook === undefined ? undefined : unkept.get(webhook.id);
    const recordable = inHand.filter(
      (item): item is EventInHand => item.kind === 'event' && unkeptDetail(item) === undefined,
    );
    const recorded = await recordEvents(
      { store, now },
      recordable.map(({ event }) => event),
    );
    const outcomeOf = new Map<InHand, Outcome>(
      recordable.map((item, index) => [item, recorded[index] ?? noOutcome]),
    );
    const settlings = inHand.map((item): Settling => {
      const event = item.kind === 'event' ? item.event : undefined;
      const webhookId = event?.webhookId ?? item.webhook?.id;
      const detail = unkeptDetail(item);
      if (detail !== undefined) return { ...item, event, webhookId, outcome: { kind: 'retry', detail } };
      if (item.kind !== 'event') return { ...item, event, webhookId, outcome: item };
      return { ...item, webhookId, outcome: outcomeOf.get(item) ?? noOutcome };
    });
    await Promise.all(settlings.map((settling) => settle(subscription, settling)));
  };
}

interface Settling {
  delivery: Delivery;
  outcome: Outcome;
  event: IncomingEvent | undefined;
  webhookId: string | undefined;
}

/** `webhook`: what it brought along to be kept. */
type InHand =
  | EventInHand
  | { kind: 'unmapped'; delivery: Delivery; webhook: KeptWebhook }
  | { kind: 'unreadable'; delivery: Delivery; webhook?: undefined; reason: string; detail: string };

interface EventInHand {
  kind: 'event';
  delivery: Delivery;
  event: IncomingEvent;
  webhook: KeptWebhook | undefined;
}

type Outcome = RecordOutcome | { kind: 'unmapped' } | { kind: 'unreadable'; reason: string; detail: string };

const noOutcome: Outcome = { kind: 'retry', detail: 'no outcome is known' };

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

function settlementOf(outcome: Outcome): Settlement {
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
      return { kind: 'dead-letter', reason: outcome.reason, detail: outcome.detail };
    default:
      return outcome satisfies never;
  }
}

function read(delivery: Delivery): InHand {
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

function readEvent(delivery: Delivery, decoded: PaymentEvent, fingerprint: string): InHand {
  const { occurredAt, receivedAt, webhook, ...said } = decoded;
  const { storedAt, sequence, deliveries } = delivery;
  const event: IncomingEvent = {
    ...said,
    fingerprint,
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
      : toKept({ source: said.source, receivedAt, ...webhook, body, reasons: [] });
  return { kind: 'event', delivery, event, webhook: kept };
}

function toKept({
  receivedAt,
  ...said
}: Omit<KeptWebhook, 'receivedAt'> & { receivedAt: string }): KeptWebhook {
  return { ...said, receivedAt: new Date(receivedAt) };
}
