import { describeError } from '@paystream/runtime';
import type { JetStreamManager, StoredMsg } from 'nats';
import { ask } from './ask.ts';
import type { BrokerConnection } from './connection.ts';
import { deadLetterHeaders, knownSubjects } from './dead-letter.ts';
import type { Delivery } from './delivery.ts';
import { keptMessages } from './kept-messages.ts';
import { type Action, headerNames, subjectOf } from './messages.ts';
import { type Headers, originOf } from './origin.ts';
import { deadLetterPrefix, deadLetterStreamName, deadLetterSubject } from './streams.ts';

/** A message that could not be applied, as it lies among the dead letters. */
export interface DeadLetter {
  /** Its place among the dead letters. */
  sequence: number;
  /** The same for every dead letter of one message. */
  id: string;
  deadAt: Date;
  reason: string;
  detail: string;
  firstError: string | undefined;
  lastError: string | undefined;
  /** The message as it was: its bytes, its headers, and where it was stored first. */
  message: Delivery;
}

/** All that are given must hold. */
export interface DeadLetterFilter {
  reason?: string | undefined;
  /** The one that its subject names; UNKNOWN: the subject was none of ours. */
  action?: Action | 'UNKNOWN' | undefined;
  /** Put aside at this time or later. */
  from?: Date | undefined;
  /** Put aside before this time. */
  to?: Date | undefined;
}

export interface DeadLetterPage {
  letters: DeadLetter[];
  /** The sequence that was looked at last; undefined: there is nothing behind it. */
  next: number | undefined;
}

export interface DeadLetterQuery {
  filter: DeadLetterFilter;
  /** Only what stands behind this sequence. */
  after: number;
  limit: number;
  /** A reason is found only by looking: at so many, and then the page ends, full or not. */
  lookAtMax: number;
}

/** The broker does not say what is among the dead letters, or takes nothing out. */
export class DeadLettersUnavailable extends Error {
  override name = 'DeadLettersUnavailable';
}

/** What is in `payment-dead-letters`, oldest first. All reject with DeadLettersUnavailable. */
export interface DeadLetters {
  find(query: DeadLetterQuery): Promise<DeadLetterPage>;
  get(sequence: number): Promise<DeadLetter | undefined>;
  /** Takes it out for good. It is no error when somebody else has done so. */
  remove(sequence: number): Promise<void>;
}

const stream = deadLetterStreamName;

export function createDeadLetters({ broker }: { broker: BrokerConnection }): DeadLetters {
  const askLetters = async <T>(question: (manager: JetStreamManager) => Promise<T>): Promise<T> => {
    try {
      return await ask(broker, question);
    } catch (error) {
      throw new DeadLettersUnavailable(describeError(error), { cause: error });
    }
  };

  return {
    find: (query) => askLetters((manager) => find(manager, query)),
    get: (sequence) =>
      askLetters(async (manager) => {
        const found = await keptMessages(manager, stream).get(sequence);
        return found && toDeadLetter(found);
      }),
    remove: (sequence) => askLetters((manager) => keptMessages(manager, stream).remove(sequence)),
  };
}

async function find(
  manager: JetStreamManager,
  { filter, after, limit, lookAtMax }: DeadLetterQuery,
): Promise<DeadLetterPage> {
  const subject = filter.action === undefined ? `${deadLetterPrefix}>` : subjectOfDeadLetters(filter.action);
  const query = { from: filter.from, to: filter.to, after, limit, lookAtMax };
  const { items, next } = await keptMessages(manager, stream, subject).page(query, (stored) => {
    const letter = toDeadLetter(stored);
    return filter.reason === undefined || letter.reason === filter.reason ? letter : undefined;
  });
  return { letters: items, next };
}

const subjectOfDeadLetters = (action: Action | 'UNKNOWN') =>
  deadLetterSubject(action === 'UNKNOWN' ? '' : subjectOf(action), knownSubjects);

function toDeadLetter(stored: StoredMsg): DeadLetter {
  const headers = readHeaders(stored);
  const header = (name: string) => headers.get(name)?.[0] || undefined;
  const subject = stored.subject.slice(deadLetterPrefix.length);
  // Somebody may have published one by hand.
  const origin = originOf(subject, headers) ?? {
    subject,
    headers,
    storedAt: stored.time,
    sequence: stored.seq,
  };
  const own: Headers = new Map([...origin.headers].filter(([name]) => !addedNames.has(name)));
  return {
    sequence: stored.seq,
    id: header(headerNames.messageId) ?? `${stream}.${stored.seq}.${stored.time.getTime()}`,
    deadAt: stored.time,
    reason: header(deadLetterHeaders.reason) ?? 'unknown',
    detail: header(deadLetterHeaders.detail) ?? '',
    firstError: header(deadLetterHeaders.firstError),
    lastError: header(deadLetterHeaders.lastError),
    message: {
      ...origin,
      headers: own,
      header: (name) => own.get(name)?.[0] || undefined,
      data: stored.data,
      deliveries: Number(/^\d{1,9}$/.exec(header(deadLetterHeaders.deliveries) ?? '')?.[0] ?? 1) || 1,
      from: 'dead-letters',
    },
  };
}

const addedNames: ReadonlySet<string> = new Set(Object.values(deadLetterHeaders));

function readHeaders({ header }: StoredMsg): Headers {
  try {
    return new Map(header ?? []);
  } catch {
    return new Map();
  }
}
