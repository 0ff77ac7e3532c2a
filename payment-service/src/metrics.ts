import type { Settled } from '@paystream/nats';
import { addGauge } from '@paystream/runtime';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { AnomalyCode } from './domain/transaction.ts';
import { type DeliveryOutcome, deliveryOutcomes, type Ledger } from './ledger.ts';
import type { Apply, Outcome, Settling } from './settling.ts';
import type { TransactionStore } from './store.ts';

export interface ApplyMetricsOptions {
  registry: Registry;
  ledger: Ledger;
  now: () => Date;
}

export interface ApplyMetrics {
  /** Times it, and counts what it works on together. */
  watchApply(apply: Apply): Apply;
  /** Counts the anomalies of what is written. */
  watchStore(store: TransactionStore): TransactionStore;
  settled(settling: Settling, settled: Settled): void;
}

// A batch takes some milliseconds; over a second something stands still.
const applyBuckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const batchBuckets = [1, 2, 5, 10, 20, 50, 100, 200, 500];
// From a live payment to one that has waited for the end of an outage.
const latencyBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3_600, 21_600];

// Told from the start, so that the first one is an increase.
const anomalyCodes: Readonly<Record<AnomalyCode, 0>> = {
  'second-new': 0,
  'after-approved': 0,
  'approved-again': 0,
  'canceled-after-capture': 0,
  'over-captured': 0,
  'over-refunded': 0,
  'currency-changed': 0,
  'amount-overflow': 0,
};

/** What is counted of deliveries on their way into the record. */
export function createApplyMetrics({ registry, ledger, now }: ApplyMetricsOptions): ApplyMetrics {
  const registers = [registry];
  addLedger(registry, ledger);
  const duration = new Histogram({
    name: 'paystream_apply_duration_seconds',
    help: 'Time to apply and settle one batch.',
    buckets: applyBuckets,
    registers,
  });
  const size = new Histogram({
    name: 'paystream_apply_batch_messages',
    help: 'Messages that are applied together.',
    buckets: batchBuckets,
    registers,
  });
  const latency = new Histogram({
    name: 'paystream_apply_latency_seconds',
    help: 'From when an event was stored in the stream until it was applied and acknowledged.',
    labelNames: ['queue'],
    buckets: latencyBuckets,
    registers,
  });
  const latencyOf = { payment: latency.labels('payment'), backlog: latency.labels('backlog') };
  const deadLetters = new Counter({
    name: 'paystream_dead_letters_written_total',
    help: 'Messages that were put among the dead letters, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const anomalies = new Counter({
    name: 'paystream_anomalies_total',
    help: 'Events that were applied and do not fit the state table, by what is odd. Where a write was in doubt, not counted.',
    labelNames: ['code'],
    registers,
  });
  for (const [code, none] of Object.entries(anomalyCodes)) anomalies.inc({ code }, none);

  return {
    watchApply: (apply) => async (subscription, deliveries) => {
      if (deliveries.length === 0) return apply(subscription, deliveries);
      const stop = duration.startTimer();
      size.observe(deliveries.length);
      const applied = await apply(subscription, deliveries);
      stop();
      return applied;
    },
    watchStore: (store) => ({
      ...store,
      writeChanges: async (changes, at) => {
        const written = await store.writeChanges(changes, at);
        for (const { txId, newEntries, state } of written.complete ? changes : []) {
          if (written.refused.has(txId) || state.anomalies.length === 0) continue;
          const added = new Set(newEntries.map(({ n }) => n));
          for (const { n, code } of state.anomalies) if (added.has(n)) anomalies.inc({ code });
        }
        return written;
      },
    }),
    settled: ({ delivery, outcome }, settled) => {
      const counted = countedAs(outcome, settled);
      const queue = ledger.settled(delivery, counted);
      if (counted === 'dead-letter' && 'reason' in outcome) deadLetters.inc({ reason: outcome.reason });
      if (counted === 'applied' && queue !== undefined)
        latencyOf[queue].observe((now().getTime() - delivery.storedAt.getTime()) / 1_000);
    },
  };
}

/** A dead letter that found no room is none: the message comes again. */
function countedAs(outcome: Outcome, settled: Settled): DeliveryOutcome {
  if (outcome.kind !== 'dead-letter' && outcome.kind !== 'unreadable') return outcome.kind;
  return settled === 'dead-lettered' ? 'dead-letter' : 'retry';
}

function addLedger(registry: Registry, ledger: Ledger): void {
  const registers = [registry];
  new Counter({
    name: 'paystream_deliveries_taken_total',
    help: 'Deliveries that this process has taken from the broker to work on.',
    labelNames: ['queue'],
    registers,
    collect() {
      this.reset();
      for (const [queue, count] of Object.entries(ledger.state().taken)) this.inc({ queue }, count);
    },
  });
  new Counter({
    name: 'paystream_deliveries_total',
    help: `What became of them: ${deliveryOutcomes.join(', ')}. An event with an anomaly is applied.`,
    labelNames: ['queue', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const [queue, outcomes] of Object.entries(ledger.state().outcomes))
        for (const [outcome, count] of Object.entries(outcomes)) this.inc({ queue, outcome }, count);
    },
  });
  addGauge(registry, {
    name: 'paystream_deliveries_in_hand',
    help: 'Deliveries that this process works on, or that wait in it for their turn in a replay.',
    label: 'queue',
    read: () => ledger.state().inHand,
  });
  addGauge(registry, {
    name: 'paystream_deliveries_balance',
    help:
      'Always 0: of all deliveries that this process has taken since it began, taken - applied - duplicate - conflict - ' +
      'unmapped - dead-letter - retry - released - set-aside - in hand. An anomaly is an applied event. Above 0, so many were ' +
      'dropped without an outcome; below 0, so many had two.',
    read: () => ledger.state().balance,
  });
}
