import type { Delivery } from '@paystream/nats';
import { type PassPoint, passBy } from '@paystream/runtime';
import { createOneAtATime } from './one-at-a-time.ts';
import { recordEvents } from './record-events.ts';
import {
  type EventInHand,
  type InHand,
  noOutcome,
  type Outcome,
  readDelivery,
  type Settling,
} from './settling.ts';
import type { TransactionStore } from './store.ts';
import type { WebhookStore } from './webhook-store.ts';

/**
 * Records what can be recorded, and says what becomes of each; nothing is settled here. Rejects with StoreUnavailable
 * while the database is away, or on a programming error.
 */
export type Decide = (deliveries: readonly Delivery[]) => Promise<Settling[]>;

export interface DecideOptions {
  store: TransactionStore;
  webhooks: WebhookStore;
  now: () => Date;
  pass?: PassPoint;
}

/**
 * The one way into the record: of what comes live, of a replay, and of a redrive. Called several times at once it works
 * on one transaction once at a time, in the order of the calls: two writes of one document would only race each other.
 */
export function createDecide({ store, webhooks, now, pass = passBy }: DecideOptions): Decide {
  const oneAtATime = createOneAtATime();
  const record = {
    ...store,
    writeChanges: (...args: Parameters<TransactionStore['writeChanges']>) => {
      pass('before-write');
      return store.writeChanges(...args);
    },
  };

  const decideAll = async (inHand: readonly InHand[]) => {
    // Before the events: what a history entry links to is there.
    const unkept = await webhooks.keep(inHand.flatMap(({ webhook }) => webhook ?? []));
    const refusalOf = ({ webhook }: InHand) => (webhook === undefined ? undefined : unkept.get(webhook.id));
    const recordable = inHand.filter(
      (item): item is EventInHand => item.kind === 'event' && refusalOf(item) === undefined,
    );
    const recorded = await recordEvents(
      { store: record, now },
      recordable.map(({ event }) => event),
    );
    if (recordable.length > 0) pass('after-write-before-ack');
    const outcomeOf = new Map<InHand, Outcome>(
      recordable.map((item, index) => [item, recorded[index] ?? noOutcome]),
    );
    return inHand.map((item): Settling => {
      const { delivery } = item;
      const event = item.kind === 'event' ? item.event : undefined;
      const webhookId = event?.webhookId ?? item.webhook?.id;
      const detail = refusalOf(item);
      if (detail !== undefined) return { delivery, event, webhookId, outcome: { kind: 'retry', detail } };
      if (item.kind === 'event')
        return { delivery, event, webhookId, outcome: outcomeOf.get(item) ?? noOutcome };
      return { delivery, event, webhookId, outcome: outcomeWithout(item) };
    });
  };

  return async (deliveries) => {
    const inHand = deliveries.map(readDelivery);
    const transactions = new Set(inHand.flatMap((item) => (item.kind === 'event' ? item.event.txId : [])));
    return oneAtATime(transactions, () => decideAll(inHand));
  };
}

/** Of what is no event. */
function outcomeWithout(item: Exclude<InHand, EventInHand>): Outcome {
  if (item.kind === 'unmapped') return { kind: 'unmapped' };
  return { kind: item.kind, reason: item.reason, detail: item.detail };
}
