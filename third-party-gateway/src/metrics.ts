import type { Publisher, PublishOutcome } from '@paystream/nats';
import { addGauge, type ProblemCode, problems } from '@paystream/runtime';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Source } from './source.ts';

/** What a webhook is answered: stored or known already, or which problem. */
export type WebhookAnswer = 'stored' | 'duplicate' | ProblemCode;

/** Hears what becomes of webhooks, for whoever counts. `source`: undefined where nobody configured it. */
export interface IntakeObserver {
  begun(): void;
  verified(source: Source, keyId: string): void;
  unmapped(source: Source): void;
  answered(source: Source | undefined, answer: WebhookAnswer): void;
  /** Before anything of the request was read. */
  turnedAway(): void;
}

export interface GatewayMetrics extends IntakeObserver {
  watchPublisher(publisher: Publisher): Publisher;
  sent(count: number): void;
  /** Whether a refused webhook could be kept for a person to look at. */
  keptRefused(kept: boolean): void;
}

const webhookOutcomes = ['stored', 'duplicate', 'refused', 'unavailable', 'failed'] as const;
type WebhookOutcome = (typeof webhookOutcomes)[number];

// No source can be called that.
const nobody = '(unknown)';
// One sync of the broker is about a millisecond; an answer takes 5 s at most.
const publishBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const batchBuckets = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/**
 * What is counted of webhooks. Values of labels come from configuration and closed lists, never from a request. Thousands
 * of webhooks a second pass here: what is counted for each was looked up before.
 */
export function createGatewayMetrics({
  registry,
  sources,
}: {
  registry: Registry;
  /** Those that are shown from the start. */
  sources: readonly Source[];
}): GatewayMetrics {
  const registers = [registry];
  const webhooks = createWebhookCounter(registry, sources);
  const verified = createCounterOf(
    new Counter({
      name: 'paystream_webhooks_verified_total',
      help: 'Webhooks by the id of the secret that matched; none: the source is not verified.',
      labelNames: ['source', 'secret'],
      registers,
    }),
  );
  const refused = createCounterOf(
    new Counter({
      name: 'paystream_webhooks_refused_total',
      help: 'Webhooks that were not taken, by the code of the answer.',
      labelNames: ['source', 'reason'],
      registers,
    }),
  );
  const unmapped = new Counter({
    name: 'paystream_webhooks_unmapped_total',
    help: 'Webhooks that were taken and not understood as a whole: kept for a person.',
    labelNames: ['source'],
    registers,
  });
  // Told from the start, so that the first one is an increase.
  for (const { name } of sources) unmapped.inc({ source: name }, 0);
  const turnedAway = new Counter({
    name: 'paystream_requests_turned_away_total',
    help: 'Requests that were answered 503 before anything of them was read, since as much is in hand as can be.',
    registers,
  });
  const keptRefused = new Counter({
    name: 'paystream_webhooks_refused_kept_total',
    help: 'Refused webhooks by whether they were kept; false: over the limit, or the broker did not take them.',
    labelNames: ['kept'],
    registers,
  });
  for (const kept of ['true', 'false']) keptRefused.inc({ kept }, 0);
  let inFlight = 0;
  addGauge(registry, {
    name: 'paystream_webhooks_in_flight',
    help: 'Webhooks that are not answered yet.',
    read: () => inFlight,
  });

  return {
    begun: () => {
      inFlight += 1;
    },
    verified: ({ name }, keyId) => verified.inc(name, keyId),
    unmapped: ({ name }) => unmapped.inc({ source: name }),
    turnedAway: () => turnedAway.inc(),
    keptRefused: (kept) => keptRefused.inc({ kept: String(kept) }),
    answered: (source, answer) => {
      inFlight -= 1;
      webhooks.inc(source, outcomeOf(answer));
      if (answer !== 'stored' && answer !== 'duplicate') refused.inc(source?.name ?? nobody, answer);
    },
    ...createPublishMetrics(registry),
  };
}

function outcomeOf(answer: WebhookAnswer): WebhookOutcome {
  if (answer === 'stored' || answer === 'duplicate') return answer;
  const { status } = problems[answer];
  if (status === 503) return 'unavailable';
  return status >= 500 ? 'failed' : 'refused';
}

function createWebhookCounter(registry: Registry, sources: readonly Source[]) {
  const counter = new Counter({
    name: 'paystream_webhooks_total',
    help: `Webhooks by source and what became of them: ${webhookOutcomes.join(', ')}. refused: the sender must mend it; unavailable: sent again it may be taken.`,
    labelNames: ['source', 'adapter', 'outcome'],
    registers: [registry],
  });
  const childrenOf = (source: string, adapter: string) => {
    const child = (outcome: WebhookOutcome) => {
      const one = counter.labels(source, adapter, outcome);
      one.inc(0);
      return one;
    };
    return {
      stored: child('stored'),
      duplicate: child('duplicate'),
      refused: child('refused'),
      unavailable: child('unavailable'),
      failed: child('failed'),
    };
  };
  const bySource = new Map<string, ReturnType<typeof childrenOf>>();
  const of = (source: Pick<Source, 'name' | 'adapter'>) => {
    const known = bySource.get(source.name) ?? childrenOf(source.name, source.adapter);
    bySource.set(source.name, known);
    return known;
  };
  const unknown = { name: nobody, adapter: nobody };
  for (const source of [...sources, unknown]) of(source);
  return {
    inc: (source: Source | undefined, outcome: WebhookOutcome) => of(source ?? unknown)[outcome].inc(),
  };
}

/** A counter with two labels, each pair looked up once. */
function createCounterOf(counter: Counter) {
  const children = new Map<string, Map<string, Counter.Internal>>();
  return {
    inc: (first: string, second: string) => {
      const ofFirst = children.get(first) ?? new Map<string, Counter.Internal>();
      const child = ofFirst.get(second) ?? counter.labels(first, second);
      ofFirst.set(second, child);
      children.set(first, ofFirst);
      child.inc();
    },
  };
}

function createPublishMetrics(registry: Registry): Pick<GatewayMetrics, 'watchPublisher' | 'sent'> {
  const registers = [registry];
  const duration = new Histogram({
    name: 'paystream_publish_duration_seconds',
    help: 'Time until the broker has said that an event is on disk, or until there was no answer.',
    buckets: publishBuckets,
    registers,
  });
  const publishes = new Counter({
    name: 'paystream_publishes_total',
    help: 'Events by the word of the broker: stored, duplicate, or why there was none.',
    labelNames: ['outcome'],
    registers,
  });
  const size = new Histogram({
    name: 'paystream_publish_batch_messages',
    help: 'Events that went to the broker together.',
    buckets: batchBuckets,
    registers,
  });
  const children = new Map<string, Counter.Internal>();
  const count = (outcome: string) => {
    const child = children.get(outcome) ?? publishes.labels(outcome);
    children.set(outcome, child);
    child.inc();
  };

  return {
    watchPublisher: ({ publish, ...publisher }) => ({
      ...publisher,
      publish: async (event, trace) => {
        const startedAt = performance.now();
        const outcome = await publish(event, trace);
        duration.observe((performance.now() - startedAt) / 1_000);
        count(wordOf(outcome));
        return outcome;
      },
    }),
    sent: (together) => size.observe(together),
  };
}

function wordOf(outcome: PublishOutcome): string {
  if (outcome.status === 'unavailable') return outcome.reason;
  return outcome.duplicate ? 'duplicate' : 'stored';
}
