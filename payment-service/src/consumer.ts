import { type Delivery, decodeEvent, headerNames, type Settlement, type Subscription } from '@paystream/nats';
import { describeError, type Log, type PartState, pause } from '@paystream/runtime';
import type { IncomingEvent } from './domain/record.ts';
import { type RecordOutcome, recordEvents } from './record-events.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';

export interface ConsumerOptions {
  subscription: Subscription;
  store: TransactionStore;
  log: Log;
  now: () => Date;
  /** Messages in one batch; more gains little, and each waits for the slowest of its batch. */
  batchMax?: number;
}

export interface Consumer {
  /** Takes one batch, applies it and settles every message of it. Returns how many there were. */
  consumeOnce(): Promise<number>;
  /** Consumes until `stop`. Rejects only on a programming error. */
  run(): Promise<void>;
  /** Takes nothing more and resolves when what is in hand is settled. */
  stop(): Promise<void>;
  state(): PartState;
}

const away = 'the database is away';
const lookAgainMs = { first: 250, longest: 5_000 };

/** Pulls messages, applies each exactly once, and acknowledges what is known to be in the database. */
export function createConsumer({ subscription, store, log, now, batchMax = 500 }: ConsumerOptions): Consumer {
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let databaseAway = false;
  // Grows with every failure in a row, and not only while nothing answers: a database can answer and take no write.
  let lookAgainInMs = lookAgainMs.first;

  const consumeOnce = async () => {
    const deliveries = await subscription.take(batchMax);
    const inHand = deliveries.map(read);
    const readable = inHand.filter((item) => item.kind === 'event');
    let outcomes: RecordOutcome[];
    try {
      outcomes = await recordEvents(
        { store, now },
        readable.map(({ event }) => event),
      );
    } catch (error) {
      await Promise.all(deliveries.map((delivery) => subscription.settle(delivery, { kind: 'release' })));
      if (!(error instanceof StoreUnavailable)) throw error;
      databaseAway = true;
      subscription.pause(away);
      log.warn({ count: deliveries.length, cause: describeError(error.cause) }, 'messages.released');
      return 0;
    }
    await Promise.all([
      ...readable.map(({ delivery, event }, index) => settle(delivery, outcomes[index] ?? noOutcome, event)),
      ...inHand
        .filter((item) => item.kind === 'unreadable')
        .map((item) => settle(item.delivery, item, undefined)),
    ]);
    if (readable.length > 0) lookAgainInMs = lookAgainMs.first;
    return deliveries.length;
  };

  const settle = async (delivery: Delivery, outcome: Outcome, event: IncomingEvent | undefined) => {
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
      lagMs: now().getTime() - delivery.storedAt.getTime(),
      traceparent: delivery.header(headerNames.traceparent),
    };
    log[levels[outcome.kind]](line, 'message.settled');
  };

  const run = async () => {
    while (!stopping.signal.aborted) {
      await consumeOnce();
      if (databaseAway) await untilDatabaseAnswers();
      // Somebody else may have paused it as well.
      await subscription.whenResumed();
    }
  };

  const untilDatabaseAnswers = async () => {
    while (databaseAway && !stopping.signal.aborted) {
      await pause(lookAgainInMs, stopping.signal);
      lookAgainInMs = Math.min(lookAgainInMs * 2, lookAgainMs.longest);
      try {
        await store.ping();
        databaseAway = false;
        subscription.resume(away);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
      }
    }
  };

  return {
    consumeOnce,
    run: () => {
      running ??= run();
      return running;
    },
    stop: async () => {
      stopping.abort();
      await Promise.all([subscription.stop(), running?.catch(() => undefined)]);
    },
    state: () => {
      const { pulling, detail, deadLettersTaken } = subscription.state();
      if (!deadLettersTaken)
        return { ok: false, detail: 'the stream of dead letters takes no message; look at its size limit' };
      return { ok: pulling, detail };
    },
  };
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
