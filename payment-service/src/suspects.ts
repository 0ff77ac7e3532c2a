import type { Delivery } from '@paystream/nats';

/** A message that was handed out more often than this is taken alone. Most of them only were in hand with a bad one. */
export const deliveriesMax = 10;
/** As often a message may be tried alone without an outcome: a process can die of something else, hardly so often. */
export const attemptsMax = 3;

/** A message that was tried alone. Without an error it has no outcome: it is being tried, or its process ended. */
export interface Attempt {
  id: string;
  at: Date;
  error?: string;
}

export type Marking =
  | { kind: 'marked' }
  /** Nothing was written: it was tried often enough. */
  | { kind: 'in-vain'; attempts: readonly Attempt[] };

/** Markers of messages that are tried alone. Each method is one atomic step; all reject with StoreUnavailable in an outage. */
export interface SuspectStore {
  /** Adds the attempt to the message's, unless there are `attemptsMax`. Journaled by a majority when it resolves. */
  mark(message: string, attempt: Attempt): Promise<Marking>;
  /** Says why the attempt failed. */
  explain(message: string, attempt: Attempt): Promise<void>;
  /** The attempt does not count. */
  takeBack(message: string, attempt: Attempt): Promise<void>;
  /** The message had an outcome, and there is nothing to remember. */
  clear(message: string): Promise<void>;
}

export const isSuspect = ({ deliveries }: Delivery) => deliveries > deliveriesMax;
