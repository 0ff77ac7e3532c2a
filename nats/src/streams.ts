import { AckPolicy, DeliverPolicy, DiscardPolicy, ReplayPolicy, RetentionPolicy, StorageType } from 'nats';

export const paymentStreamName = 'payment';
export const backlogStreamName = 'payment-backlog';
export const deadLetterStreamName = 'payment-dead-letters';
export const refusedStreamName = 'refused-webhooks';

/** What is in it was refused when it came: unlike all else, nobody was promised that it stays. */
export const holdsPromises = (stream: string) => stream !== refusedStreamName;

export interface WorkQueue {
  stream: string;
  consumer: string;
  /** What its messages are published on. */
  subjects: string;
}

/** What payment-service pulls from: `payment`, and `backlog` for what was set aside to be replayed. */
export const workQueues = {
  payment: { stream: paymentStreamName, consumer: 'payment-consumer', subjects: 'payments.*' },
  backlog: {
    stream: backlogStreamName,
    consumer: 'payment-backlog-consumer',
    subjects: 'backlog.payments.*',
  },
} as const satisfies Record<string, WorkQueue>;
export type WorkQueueName = keyof typeof workQueues;

export interface StreamDefinition {
  name: string;
  description: string;
  subjects: string[];
  retention: RetentionPolicy;
  storage: StorageType;
  discard: DiscardPolicy;
  max_age: number;
  max_bytes: number;
  max_msgs: number;
  max_msg_size: number;
  duplicate_window: number;
  num_replicas: number;
  allow_direct: boolean;
  /** nats-server 2.12 or newer; left out for an older one, which would refuse it. */
  allow_atomic: boolean;
}

export interface ConsumerDefinition {
  stream: string;
  durable_name: string;
  description: string;
  ack_policy: AckPolicy;
  deliver_policy: DeliverPolicy;
  replay_policy: ReplayPolicy;
  ack_wait: number;
  max_ack_pending: number;
  max_deliver: number;
}

export interface StreamOptions {
  /** How long the broker remembers message ids. A filter, not the guarantee: the record is. */
  duplicateWindowMs: number;
  replicas: number;
  /** Size limit of the work queue; over it a publish is refused and the gateway answers 503. */
  maxBytes: number;
  /**
   * Who paces `payment`: we (`instant`), or JetStream (`original`, which is REPLAY_MODE=broker). Left out by who does
   * not know: the consumer is then made with `instant`, and whichever it has is fine.
   */
  replayPolicy?: 'instant' | 'original' | undefined;
}

export const streamDefaults: StreamOptions = {
  duplicateWindowMs: 600_000,
  replicas: 1,
  // About 5 million messages of 400 bytes: a week's outage at 8 a second.
  maxBytes: 2_147_483_648,
  replayPolicy: 'instant',
};

/** The same as the environment says it, for whoever provisions or compares. */
export function streamOptionsOf({
  DUPLICATE_WINDOW,
  STREAM_REPLICAS,
  STREAM_MAX_BYTES,
  REPLAY_MODE,
}: {
  DUPLICATE_WINDOW: number;
  STREAM_REPLICAS: number;
  STREAM_MAX_BYTES: number;
  REPLAY_MODE: 'original' | 'instant' | 'broker';
}): StreamOptions {
  return {
    duplicateWindowMs: DUPLICATE_WINDOW,
    replicas: STREAM_REPLICAS,
    maxBytes: STREAM_MAX_BYTES,
    replayPolicy: REPLAY_MODE === 'broker' ? 'original' : 'instant',
  };
}

const nanos = (ms: number) => ms * 1_000_000;

/** A message that is not applied within this time is deleted by the broker, on either work queue: the outage budget. */
export const outageBudgetMs = 7 * 86_400_000;
export const ackWaitMs = 30_000;

// A webhook body of 256 KiB as a JSON string, in which every character may need a backslash, and an event beside it.
const messageBytesMax = 655_360;
// A copy is a message and the headers that say where it was and why it is here; what the queue took must find room.
const copyBytesMax = 1_048_576;
// A webhook body of 256 KiB in base64, and 16 KiB of headers, each character of which may need a backslash.
const refusedBytesMax = 393_216;

/** Longer than providers try again, so that a person sees what was refused before the last try. */
export const refusedForMs = 7 * 86_400_000;

/** The streams as they must be. Each number has its reason beside it. */
export function streamDefinitions(options: StreamOptions = streamDefaults): StreamDefinition[] {
  const shared = {
    storage: StorageType.File,
    // A full stream refuses. `old` would throw away the oldest payments without a word.
    discard: DiscardPolicy.New,
    max_msgs: -1,
    duplicate_window: nanos(options.duplicateWindowMs),
    num_replicas: options.replicas,
    allow_direct: false,
    allow_atomic: true,
  };
  const workQueue = { retention: RetentionPolicy.Workqueue, max_age: nanos(outageBudgetMs), ...shared };
  return [
    {
      name: paymentStreamName,
      description:
        'Paystream: payment events waiting to be applied by payment-service. Work queue: an applied event leaves it. ' +
        'After an outage what waits here is set aside to payment-backlog, and live events pass. See nats/README.md.',
      subjects: [workQueues.payment.subjects],
      max_bytes: options.maxBytes,
      max_msg_size: messageBytesMax,
      ...workQueue,
    },
    {
      name: backlogStreamName,
      description:
        'Paystream: payment events of an outage, set aside from payment and replayed by payment-service at the rate at ' +
        'which they came. Work queue: an applied event leaves it. See nats/README.md.',
      subjects: [workQueues.backlog.subjects],
      // What the queue held fits, but for small messages in a queue that was more than two thirds full: a copy is some 160 bytes
      // larger. What finds no room is applied at once. Of all streams the broker sets the room aside at once.
      max_bytes: options.maxBytes,
      max_msg_size: copyBytesMax,
      ...workQueue,
    },
    {
      name: deadLetterStreamName,
      description:
        'Paystream: messages that cannot be applied, with their bytes and the reason. See nats/README.md.',
      subjects: ['dead-letters.payments.*'],
      retention: RetentionPolicy.Limits,
      // Kept until a person has decided.
      max_age: 0,
      // A small disk needs only the one setting lowered.
      max_bytes: Math.floor(options.maxBytes / 2),
      max_msg_size: copyBytesMax,
      ...shared,
    },
    {
      name: refusedStreamName,
      description:
        'Paystream: webhooks that were refused, with the reason, for a person to look at and to verify again. No promises ' +
        'are in it: the oldest make room. See nats/README.md.',
      subjects: [`${refusedPrefix}*.*`],
      retention: RetentionPolicy.Limits,
      max_age: nanos(refusedForMs),
      // Whoever sends garbage can fill this much and no more; a small disk needs only the one setting lowered.
      max_bytes: Math.floor(options.maxBytes / 8),
      max_msg_size: refusedBytesMax,
      ...shared,
      // A full stream must not keep the garbage of yesterday in the place of what is refused now.
      discard: DiscardPolicy.Old,
    },
  ];
}

/** The consumers as they must be. */
export function consumerDefinitions({ replayPolicy }: StreamOptions = streamDefaults): ConsumerDefinition[] {
  const isPacedByBroker = replayPolicy === 'original';
  const shared = {
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    // A batch takes well under a second; a process that died gives its messages back after this.
    ack_wait: nanos(ackWaitMs),
    max_ack_pending: 20_000,
    // A work queue keeps a message that ran out of deliveries for ever and hands it to nobody.
    max_deliver: -1,
  };
  return [
    {
      stream: paymentStreamName,
      durable_name: workQueues.payment.consumer,
      description: isPacedByBroker
        ? 'Paystream: payment-service pulls here. Replay policy original (REPLAY_MODE=broker): JetStream paces, only ' +
          'when it starts the consumer, and nothing is set aside. See nats/README.md.'
        : 'Paystream: payment-service pulls here. Replay policy instant: after an outage payment-service sets the ' +
          'backlog aside and paces it itself, from payment-backlog. See nats/README.md.',
      replay_policy: isPacedByBroker ? ReplayPolicy.Original : ReplayPolicy.Instant,
      ...shared,
    },
    {
      stream: backlogStreamName,
      durable_name: workQueues.backlog.consumer,
      description:
        'Paystream: payment-service pulls here what it set aside, and applies each event when it is due. Replay ' +
        'policy instant: the service paces, by the time at which an event was first stored. See nats/README.md.',
      replay_policy: ReplayPolicy.Instant,
      ...shared,
    },
  ];
}

export const deadLetterPrefix = 'dead-letters.';
export const refusedPrefix = 'refused.';

/** Where a dead letter goes: the action's token where it is a known one, since subjects are not made from input. */
export function deadLetterSubject(subject: string, knownSubjects: ReadonlySet<string>): string {
  return `${deadLetterPrefix}${knownSubjects.has(subject) ? subject : 'payments.unknown'}`;
}
