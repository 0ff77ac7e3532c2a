import { headerNames } from './messages.ts';
import { workQueues } from './streams.ts';
import { covers } from './subjects.ts';

/** Where a message was first, kept in its copies: the broker gives a copy a time and a sequence of its own. */
export const originHeaders = {
  storedAt: 'Paystream-Stored-At',
  sequence: 'Paystream-Sequence',
  subject: 'Paystream-Subject',
  messageId: 'Paystream-Message-Id',
} as const;

export type Headers = ReadonlyMap<string, readonly string[]>;

/** What a message is known by, wherever its copy lies. */
export interface Origin {
  subject: string;
  headers: Headers;
  /** The broker's clock when it was first stored. */
  storedAt: Date;
  /** Its place in `payment`. */
  sequence: number;
}

const backlogPrefix = 'backlog.';

/** One id for the message whichever copy it is taken from, so that a second copy of it is known as such. */
export function originId({ sequence, storedAt }: Pick<Origin, 'sequence' | 'storedAt'>): string {
  return `payment.${sequence}.${storedAt.getTime()}`;
}

/** The headers of a copy: its own, less those by which the broker would act on the copy, and where it was. */
export function copiedHeaders({ headers, ...origin }: Origin): Map<string, readonly string[]> {
  const copied = new Map([...headers].filter(([name]) => !isForBroker(name)));
  const messageId = headers.get(headerNames.messageId);
  if (messageId !== undefined) copied.set(originHeaders.messageId, messageId);
  copied.set(originHeaders.storedAt, [origin.storedAt.toISOString()]);
  copied.set(originHeaders.sequence, [String(origin.sequence)]);
  copied.set(originHeaders.subject, [origin.subject]);
  return copied;
}

/** Where a message of `payment` is set aside. One on a subject that the backlog does not take keeps its own in a header. */
export function backlogSubject(subject: string): string {
  const fits = covers(workQueues.payment.subjects, subject);
  return `${backlogPrefix}${fits ? subject : 'payments.unknown'}`;
}

/** The message as it was before it was set aside, or undefined when its headers do not say, as when published by hand. */
export function originOf(subject: string, headers: Headers): Origin | undefined {
  const [storedAt = ''] = headers.get(originHeaders.storedAt) ?? [];
  const [sequence = ''] = headers.get(originHeaders.sequence) ?? [];
  if (!isTime(storedAt) || !/^[1-9]\d{0,14}$/.test(sequence)) return undefined;
  const messageId = headers.get(originHeaders.messageId);
  const own = new Map([...headers].filter(([name]) => !isForBroker(name) && !originNames.has(name)));
  if (messageId !== undefined) own.set(headerNames.messageId, messageId);
  return {
    subject: headers.get(originHeaders.subject)?.[0] || withoutPrefix(subject),
    headers: own,
    storedAt: new Date(storedAt),
    sequence: Number(sequence),
  };
}

export function withoutPrefix(subject: string): string {
  return subject.startsWith(backlogPrefix) ? subject.slice(backlogPrefix.length) : subject;
}

const originNames: ReadonlySet<string> = new Set(Object.values(originHeaders));

const isForBroker = (name: string) => name.toLowerCase().startsWith('nats-');

/** As `toISOString` writes it, and nothing that only looks so. */
function isTime(text: string): boolean {
  const time = new Date(text);
  return !Number.isNaN(time.getTime()) && time.toISOString() === text;
}
