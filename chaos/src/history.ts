import type { Violation } from './violation.ts';

/** One webhook with known content. Its label stands in its note, and names it wherever it turns up. */
export interface Webhook {
  label: string;
  txId: string;
  action: 'NEW' | 'DRAFT' | 'UPDATE' | 'APPROVED';
  amount: number;
  note: string;
  /** The source's own id, where it gives one. Two webhooks may share it: then one of them is a conflict. */
  webhookId: string | undefined;
}

/** One request, and what came of it. Times are milliseconds of one clock, the harness's. */
export interface Attempt {
  label: string;
  gateway: string;
  sentAtMs: number;
  endedAtMs: number;
  answer: Answer;
}

export type Answer =
  | { kind: 'stored'; duplicate: boolean; sequence: number }
  | { kind: 'refused'; status: number }
  /** Reset, refused or out of time: it may have been stored and may not. */
  | { kind: 'none'; detail: string };

/** A message that nobody can read, published by hand and acknowledged by the broker. */
export interface Poison {
  label: string;
  reason: string;
}

/** A time in which something about a gateway was known to be out of order. */
export interface Window {
  gateway: string;
  kind:
    | 'broker-away' /** Nothing that came in it can be stored before it is over. */
    | 'gateway-away' /** Requests that touch it may stay unanswered, or be slow. */
    | 'gateway-stopping' /** The same, but only for requests that came in it: who was in time is answered. */;
  fromMs: number;
  toMs: number;
}

export interface RecordedEntry {
  n: number;
  eventId: string;
  action: string;
  amount: number;
  note: string;
  source: string;
  at: number;
  storedAt: number;
  receivedAt: number;
  sequence: number;
}

export interface RecordedTransaction {
  txId: string;
  version: number;
  source: string;
  status: string;
  action: string;
  amount: number;
  note: string;
  captured: number;
  hasNew: boolean;
  anomalies: { n: number; code: string }[];
  actionHistory: RecordedEntry[];
  conflicts: Omit<RecordedEntry, 'n'>[];
}

export interface DeadLetter {
  /** Of the label in its bytes; empty where there is none. */
  label: string;
  reason: string;
  /** Its place in the stream that it came from. */
  sequence: string;
}

/** How a process ended that was asked to. */
export interface Stop {
  process: string;
  code: number | null;
  signal: string | null;
  tookMs: number;
}

/** Everything that one run left behind: what was sent and answered, and what is recorded. */
export interface History {
  webhooks: readonly Webhook[];
  attempts: readonly Attempt[];
  poisons: readonly Poison[];
  windows: readonly Window[];
  stops: readonly Stop[];
  /** Processes that ended by themselves. */
  crashes: readonly { process: string; how: string }[];
  /** Faults after which the system did not come back in time. */
  unhealed: readonly string[];
  /** When the faults began, on the clock of all times here. */
  beganAtMs: number;
  /** What was left in the streams, and who was not ready, when the time for quiet was over. */
  left: readonly string[];
  memory: readonly { process: string; rssMiB: number }[];
  hasUniqueIndex: boolean;
  /** What complete dumps showed that were taken while it ran, each compared with the one before it (`check-steps.ts`). */
  steps: readonly Violation[];
  record: readonly RecordedTransaction[];
  deadLetters: readonly DeadLetter[];
}

const labelPattern = /\b[wp]\d{6}\b/;

/** The label in a text, or an empty one. */
export function labelIn(text: string): string {
  return labelPattern.exec(text)?.[0] ?? '';
}
