import { type Action, foldTransaction, type RecordedEvent, type TransactionState } from './transaction.ts';

/** An event as it came off the broker, identified, with what the broker knows about it. */
export interface IncomingEvent {
  txId: string;
  eventId: string;
  fingerprint: string;
  action: Action;
  amount: number;
  note: string;
  source: string;
  currency?: string | undefined;
  reference?: string | undefined;
  /** The webhook that it came in, where that is kept. */
  webhookId?: string | undefined;
  occurredAt?: Date | undefined;
  receivedAt: Date;
  storedAt: Date;
  sequence: number;
  deliveries: number;
}

/** Where fields are named one by one: none can be forgotten, not even one that may be undefined. */
export type EveryFieldOf<T> = { [Field in keyof Required<T>]: T[Field] };

/** A fact as it stands in the history: never changed once written. */
export interface HistoryEntry extends RecordedEvent {
  fingerprint: string;
  webhookId?: string | undefined;
  occurredAt?: Date | undefined;
  receivedAt: Date;
  storedAt: Date;
  deliveries: number;
}

/** Another content under an event id that is already recorded: kept for a person to look at, without effect. */
export interface Conflict extends Omit<HistoryEntry, 'n'> {
  recordedFingerprint: string;
}

/** What a decision needs of a recorded fact: a long history is read again with every event, so it is read no wider. */
export type KnownFact = Omit<HistoryEntry, 'occurredAt' | 'receivedAt' | 'storedAt'>;

/** What a transaction is known to be when the next event of it is decided. */
export interface TransactionRecord {
  txId: string;
  version: number;
  actionHistory: KnownFact[];
  conflicts: Conflict[];
}

export type RecordDecision =
  | { kind: 'applied' }
  | { kind: 'duplicate' }
  | { kind: 'conflict'; recordedFingerprint: string }
  | { kind: 'dead-letter'; reason: 'history-full'; detail: string };

/** What has to be written for one transaction, guarded by the version that was read (0: it must not exist). */
export interface RecordChange {
  txId: string;
  expectedVersion: number;
  newEntries: HistoryEntry[];
  newConflicts: Conflict[];
  state: TransactionState;
}

export interface Recorded {
  decisions: RecordDecision[];
  /** Undefined when there is nothing to write. */
  change: RecordChange | undefined;
}

export interface RecordLimits {
  /** Events in one history. */
  historyMax: number;
  /** Conflicts kept for one transaction; the ones after that are only logged. */
  conflictsMax: number;
  /** Estimated size of one document; MongoDB's own limit is 16 MiB. */
  documentBytesMax: number;
}

export const recordLimits: RecordLimits = {
  historyMax: 10_000,
  conflictsMax: 100,
  documentBytesMax: 12 * 1024 * 1024,
};

/**
 * What an entry takes in BSON at most, but for its note. Measured with every optional field and every text at its
 * longest: 781, and 97 for the two anomalies that it can cause; as a conflict 830. An ordinary entry takes 262.
 */
const entryBytes = 880;

/** A note takes at most three bytes of UTF-8 for each of its UTF-16 units. */
const estimateBytes = (entry: { note: string }) => entryBytes + 3 * entry.note.length;
const estimateAll = (entries: readonly { note: string }[]) =>
  entries.reduce((sum, entry) => sum + estimateBytes(entry), 0);

/**
 * Decides for each incoming event of one transaction, in the order given, whether it is new, known, in conflict
 * with what is known, or too much; and what the transaction becomes. `incoming` holds one txId only.
 */
export function decideRecord(
  record: TransactionRecord | undefined,
  incoming: readonly IncomingEvent[],
  limits: RecordLimits = recordLimits,
): Recorded {
  const history = record?.actionHistory ?? [];
  const conflicts = record?.conflicts ?? [];
  const known = new Map(history.map((entry) => [entry.eventId, entry.fingerprint]));
  const seenConflicts = new Set(conflicts.map((conflict) => `${conflict.eventId} ${conflict.fingerprint}`));
  const newEntries: HistoryEntry[] = [];
  const newConflicts: Conflict[] = [];
  let bytes = estimateAll(history) + estimateAll(conflicts);

  const decide = (event: IncomingEvent): RecordDecision => {
    const recordedFingerprint = known.get(event.eventId);
    if (recordedFingerprint === event.fingerprint) return { kind: 'duplicate' };
    const full = bytes + estimateBytes(event) > limits.documentBytesMax;
    if (recordedFingerprint !== undefined) {
      const key = `${event.eventId} ${event.fingerprint}`;
      const room = conflicts.length + newConflicts.length < limits.conflictsMax && !full;
      if (room && !seenConflicts.has(key)) {
        seenConflicts.add(key);
        newConflicts.push({ ...factOf(event), recordedFingerprint });
        bytes += estimateBytes(event);
      }
      return { kind: 'conflict', recordedFingerprint };
    }
    const n = history.length + newEntries.length + 1;
    if (n > limits.historyMax || full) {
      const detail = `the history holds ${n - 1} events, in up to ${bytes} bytes`;
      return { kind: 'dead-letter', reason: 'history-full', detail };
    }
    known.set(event.eventId, event.fingerprint);
    newEntries.push({ n, ...factOf(event) });
    bytes += estimateBytes(event);
    return { kind: 'applied' };
  };

  const decisions = incoming.map(decide);
  const txId = incoming[0]?.txId;
  const nothingNew = newEntries.length === 0 && newConflicts.length === 0;
  if (txId === undefined || nothingNew) return { decisions, change: undefined };
  return {
    decisions,
    change: {
      txId,
      expectedVersion: record?.version ?? 0,
      newEntries,
      newConflicts,
      state: foldTransaction([...history, ...newEntries]),
    },
  };
}

function factOf(event: IncomingEvent): EveryFieldOf<Omit<HistoryEntry, 'n'>> {
  return {
    eventId: event.eventId,
    fingerprint: event.fingerprint,
    action: event.action,
    amount: event.amount,
    note: event.note,
    source: event.source,
    currency: event.currency,
    reference: event.reference,
    webhookId: event.webhookId,
    occurredAt: event.occurredAt,
    receivedAt: event.receivedAt,
    storedAt: event.storedAt,
    sequence: event.sequence,
    deliveries: event.deliveries,
    at: event.occurredAt ?? event.storedAt,
  };
}
