import { describeError } from '@paystream/runtime';
import type { JetStreamManager, StoredMsg } from 'nats';
import { ask } from './ask.ts';
import { type BrokerConnection, untilDown } from './connection.ts';
import { keptMessages } from './kept-messages.ts';
import {
  decodeRefused,
  encodeRefused,
  type RefusalReason,
  type RefusedWebhook,
  refusedSubject,
  refusedSubjects,
} from './refused-webhook.ts';
import { refusedStreamName } from './streams.ts';

/** A refused webhook as it lies in the stream. */
export interface KeptRefused extends RefusedWebhook {
  /** Its place in the stream. */
  sequence: number;
  /** The broker's clock. */
  keptAt: Date;
}

/** All that are given must hold. */
export interface RefusedFilter {
  source?: string | undefined;
  reason?: RefusalReason | undefined;
  /** Kept at this time or later. */
  from?: Date | undefined;
  /** Kept before this time. */
  to?: Date | undefined;
}

export interface RefusedQuery {
  filter: RefusedFilter;
  /** Only what stands behind this sequence. */
  after: number;
  limit: number;
}

export interface RefusedPage {
  webhooks: KeptRefused[];
  /** The sequence that was looked at last; undefined: there is nothing behind it. */
  next: number | undefined;
}

/** The broker does not say what is kept, or takes nothing in or out. */
export class RefusedUnavailable extends Error {
  override name = 'RefusedUnavailable';
}

/** What is in `refused-webhooks`, oldest first. All reject with RefusedUnavailable. */
export interface RefusedWebhooks {
  keep(webhook: RefusedWebhook): Promise<void>;
  find(query: RefusedQuery): Promise<RefusedPage>;
  get(sequence: number): Promise<KeptRefused | undefined>;
  /** Takes it out for good. It is no error when somebody else has done so. */
  remove(sequence: number): Promise<void>;
}

// The sender has its answer, and nobody waits for this one.
const keepWithinMs = 2_000;
const stream = refusedStreamName;

export function createRefusedWebhooks({ broker }: { broker: BrokerConnection }): RefusedWebhooks {
  const askRefused = <T>(question: (manager: JetStreamManager) => Promise<T>) =>
    orUnavailable(() => ask(broker, question));

  return {
    // A publish of its own: no payment shares a batch, a queue or an acknowledgement with it.
    keep: (webhook) =>
      orUnavailable(async () => {
        const connection = broker.current();
        if (connection === undefined) throw new Error(broker.state().detail);
        const js = connection.jetstream({ timeout: keepWithinMs });
        const subject = refusedSubject(webhook.source, webhook.reason);
        const options = { expect: { streamName: stream }, timeout: keepWithinMs };
        await untilDown(broker, js.publish(subject, encodeRefused(webhook), options));
      }),
    find: (query) => askRefused((manager) => find(manager, query)),
    get: (sequence) =>
      askRefused(async (manager) => {
        const found = await keptMessages(manager, stream).get(sequence);
        return found && toKept(found);
      }),
    remove: (sequence) => askRefused((manager) => keptMessages(manager, stream).remove(sequence)),
  };
}

async function orUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new RefusedUnavailable(describeError(error), { cause: error });
  }
}

async function find(manager: JetStreamManager, { filter, after, limit }: RefusedQuery): Promise<RefusedPage> {
  // What somebody else has put there is passed over, and counts: a page may be short.
  const query = { from: filter.from, to: filter.to, after, limit, lookAtMax: limit };
  const { items, next } = await keptMessages(manager, stream, refusedSubjects(filter)).page(query, toKept);
  return { webhooks: items, next };
}

function toKept({ seq, time, data }: StoredMsg): KeptRefused | undefined {
  const webhook = decodeRefused(data);
  return webhook && { ...webhook, sequence: seq, keptAt: time };
}
