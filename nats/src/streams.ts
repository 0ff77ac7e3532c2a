import { AckPolicy, DeliverPolicy, DiscardPolicy, ReplayPolicy, RetentionPolicy, StorageType } from 'nats';

export const paymentStreamName = 'payment';
export const paymentConsumerName = 'payment-consumer';
export const deadLetterStreamName = 'payment-dead-letters';

/** Kept across every republication of a message, since the broker gives the copy a time and a sequence of its own. */
export const originHeaders = { storedAt: 'Paystream-Stored-At', sequence: 'Paystream-Sequence' } as const;

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
}

export const streamDefaults: StreamOptions = {
  duplicateWindowMs: 600_000,
  replicas: 1,
  // About 5 million messages of 400 bytes: a week's outage at 8 a second.
  maxBytes: 2_147_483_648,
};

const nanos = (ms: number) => ms * 1_000_000;

/** A message that is not applied within this time is deleted by the broker: the outage budget. */
export const outageBudgetMs = 7 * 86_400_000;
export const ackWaitMs = 30_000;

// A webhook body is at most 256 KiB and an event is made of a few short fields of it.
const messageBytesMax = 262_144;
// A dead letter is a message and the headers that say why; what the queue took must find room here.
const deadLetterBytesMax = 1_048_576;

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
  return [
    {
      name: paymentStreamName,
      description:
        'Paystream: payment events waiting to be applied by payment-service. Work queue: an applied event leaves it. ' +
        'See nats/README.md.',
      subjects: ['payments.*'],
      retention: RetentionPolicy.Workqueue,
      max_age: nanos(outageBudgetMs),
      max_bytes: options.maxBytes,
      max_msg_size: messageBytesMax,
      ...shared,
    },
    {
      name: deadLetterStreamName,
      description:
        'Paystream: messages that cannot be applied, with their bytes and the reason. See nats/README.md.',
      subjects: ['dead-letters.payments.*'],
      retention: RetentionPolicy.Limits,
      // Kept until a person has decided.
      max_age: 0,
      // Of both the broker sets the room aside at once, so a small disk needs only the one setting lowered.
      max_bytes: Math.floor(options.maxBytes / 2),
      max_msg_size: deadLetterBytesMax,
      ...shared,
    },
  ];
}

/** The consumers as they must be. */
export function consumerDefinitions(): ConsumerDefinition[] {
  return [
    {
      stream: paymentStreamName,
      durable_name: paymentConsumerName,
      description:
        'Paystream: payment-service pulls here. Replay policy instant: pacing after an outage is the business of ' +
        'the service, not of the broker. See nats/README.md.',
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      replay_policy: ReplayPolicy.Instant,
      // A batch takes well under a second; a process that died gives its messages back after this.
      ack_wait: nanos(ackWaitMs),
      max_ack_pending: 20_000,
      // A work queue keeps a message that ran out of deliveries for ever and hands it to nobody.
      max_deliver: -1,
    },
  ];
}

/** Where a dead letter goes: the action's token where it is a known one, since subjects are not made from input. */
export function deadLetterSubject(subject: string, knownSubjects: ReadonlySet<string>): string {
  return `dead-letters.${knownSubjects.has(subject) ? subject : 'payments.unknown'}`;
}
