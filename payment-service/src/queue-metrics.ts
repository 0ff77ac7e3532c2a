import type { BrokerFigures, StreamFigures, Subscription } from '@paystream/nats';
import { addGauge, type Figures, type Log } from '@paystream/runtime';
import type { Registry } from 'prom-client';
import { createRecent } from './recent.ts';
import type { Replay, ReplayState } from './replay-types.ts';

export interface QueueMetricsOptions {
  registry: Registry;
  log: Log;
  /** Rejects when the broker does not say. */
  readFigures: () => Promise<BrokerFigures>;
  queues: { payment: Pick<Subscription, 'state'>; backlog: Pick<Subscription, 'state'> };
  replay: Pick<Replay, 'state'>;
  brokerPaces: boolean;
}

/** What waits, here and at the broker, and how it is replayed. */
export function addQueueMetrics({
  registry,
  log,
  readFigures,
  queues,
  replay,
  brokerPaces,
}: QueueMetricsOptions): void {
  addBrokerFigures(registry, createRecent({ ask: readFigures, log }));
  addGauge(registry, {
    name: 'paystream_held_messages',
    help: 'Messages that the broker has handed to this process and that are not settled: they come again only after the ack wait if it dies.',
    label: 'queue',
    read: () => ({ payment: queues.payment.state().held, backlog: queues.backlog.state().held }),
  });
  addGauge(registry, {
    name: 'paystream_replay_speed',
    help: 'How many times as fast as it came a backlog is replayed; +Inf: at once.',
    read: () => replay.state().speed,
  });
  addGauge(registry, {
    name: 'paystream_replay_mode',
    help: '1 for the mode in force. broker: JetStream paces.',
    label: 'mode',
    read: () => chosen(replayModes, brokerPaces ? 'broker' : replay.state().setting.mode),
  });
  addGauge(registry, {
    name: 'paystream_replay_state',
    help: '1 for what the replay does now.',
    label: 'state',
    read: () => chosen(replayStates, replay.state().state),
  });
  addGauge(registry, {
    name: 'paystream_replay_leads',
    help: '1 in the instance that sets aside and replays.',
    read: () => Number(replay.state().leads),
  });
}

const replayModes = ['original', 'instant', 'broker'] as const;
const replayStates: readonly ReplayState['state'][] = ['live', 'setting-aside', 'replaying', 'paused'];

const chosen = (all: readonly string[], one: string) =>
  Object.fromEntries(all.map((value) => [value, Number(value === one)]));

/** Left out while the broker does not say. */
function addBrokerFigures(registry: Registry, recent: () => Promise<BrokerFigures | undefined>): void {
  const ofQueues = (figure: (stream: StreamFigures) => number | undefined) => async (): Promise<Figures> => {
    const figures = await recent();
    return figures && { payment: figure(figures.payment), backlog: figure(figures.backlog) };
  };
  const queueGauge = (name: string, help: string, figure: (stream: StreamFigures) => number | undefined) =>
    addGauge(registry, { name, help, label: 'queue', read: ofQueues(figure) });

  queueGauge(
    'paystream_lag_messages',
    'Messages that wait or are in somebody’s hand.',
    ({ messages }) => messages,
  );
  queueGauge(
    'paystream_lag_seconds',
    'How long ago the oldest of them came in.',
    ({ oldestAgeMs }) => oldestAgeMs / 1_000,
  );
  queueGauge('paystream_queue_bytes', 'What they take of the stream.', ({ bytes }) => bytes);
  queueGauge(
    'paystream_queue_limit_bytes',
    'What the stream takes; over it webhooks are answered 503.',
    ({ bytesMax }) => bytesMax,
  );
  addGauge(registry, {
    name: 'paystream_dead_letters',
    help: 'Messages among the dead letters.',
    read: async () => (await recent())?.deadLetters.messages,
  });
  addGauge(registry, {
    name: 'paystream_dead_letters_oldest_age_seconds',
    help: 'How long ago the oldest of them was put there.',
    read: async () => {
      const figures = await recent();
      return figures && figures.deadLetters.oldestAgeMs / 1_000;
    },
  });
}
