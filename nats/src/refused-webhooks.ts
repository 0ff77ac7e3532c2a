import { describeError } from '@paystream/runtime';
import { type JetStreamManager, NatsError, type StoredMsg } from 'nats';
import { type BrokerConnection, untilDown } from './connection.ts';
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

const answerWithinMs = 2_000;
const stream = refusedStreamName;

export function createRefusedWebhooks({ broker }: { broker: BrokerConnection }): RefusedWebhooks {
  const connected = () => {
    const connection = broker.current();
    if (connection === undefined) throw new Error(broker.state().detail);
    return connection;
  };
  const ask = <T>(question: (manager: JetStreamManager) => Promise<T>): Promise<T> =>
    orUnavailable(async () => {
      const manager = await connected().jetstreamManager({ checkAPI: false, timeout: answerWithinMs });
      return untilDown(broker, question(manager));
    });

  return {
    // A publish of its own: no payment shares a batch, a queue or an acknowledgement with it.
    keep: (webhook) =>
      orUnavailable(async () => {
        const js = connected().jetstream({ timeout: answerWithinMs });
        const subject = refusedSubject(webhook.source, webhook.reason);
        const options = { expect: { streamName: stream }, timeout: answerWithinMs };
        await untilDown(broker, js.publish(subject, encodeRefused(webhook), options));
      }),
    find: (query) => ask((manager) => find(manager, query)),
    get: (sequence) =>
      ask(async (manager) => {
        const found = await orNothing(manager.streams.getMessage(stream, { seq: sequence }));
        return found && toKept(found);
      }),
    remove: (sequence) =>
      ask(async (manager) => {
        try {
          await manager.streams.deleteMessage(stream, sequence);
        } catch (error) {
          if ((await orNothing(manager.streams.getMessage(stream, { seq: sequence }))) !== undefined)
            throw error;
        }
      }),
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
  const subject = refusedSubjects(filter);
  // The client passes `next_by_subj` on and does not know it.
  const nextFrom = (seq: number) =>
    orNothing(manager.streams.getMessage(stream, { seq, ...{ next_by_subj: subject } }));
  const webhooks: KeptRefused[] = [];
  let last =
    filter.from === undefined ? after : await sequenceBefore(filter.from, after, { manager, nextFrom });
  // What somebody else has put there is passed over, and counts: a page may be short.
  for (let looked = 0; looked < limit; looked += 1) {
    const found = await nextFrom(last + 1);
    // They stand in the order of their times.
    if (found === undefined || (filter.to !== undefined && found.time >= filter.to))
      return { webhooks, next: undefined };
    last = found.seq;
    const kept = toKept(found);
    if (kept !== undefined) webhooks.push(kept);
  }
  return { webhooks, next: last };
}

interface Looking {
  manager: JetStreamManager;
  nextFrom: (seq: number) => Promise<StoredMsg | undefined>;
}

/** The sequence behind which all are of this time or later, by halving. */
async function sequenceBefore(from: Date, after: number, { manager, nextFrom }: Looking): Promise<number> {
  let low = after;
  let high = (await manager.streams.info(stream)).state.last_seq;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const found = await nextFrom(middle + 1);
    if (found === undefined || found.time >= from) high = middle;
    else low = found.seq;
  }
  return low;
}

function toKept({ seq, time, data }: StoredMsg): KeptRefused | undefined {
  const webhook = decodeRefused(data);
  return webhook && { ...webhook, sequence: seq, keptAt: time };
}

const noMessageFound = 10037;

/** Nothing only where the message is not there: a stream that is missing is another matter. */
async function orNothing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === noMessageFound) return undefined;
    throw error;
  }
}
