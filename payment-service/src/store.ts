import type { Conflict, HistoryEntry, RecordChange, TransactionRecord } from './domain/record.ts';
import type { TransactionState } from './domain/transaction.ts';

/** A transaction without its history, as a list shows it. */
export interface TransactionSummary extends TransactionState {
  txId: string;
  version: number;
  createdAt: Date;
  updatedAt: Date;
}

export interface StoredTransaction extends TransactionSummary {
  actionHistory: HistoryEntry[];
  conflicts: Conflict[];
}

export interface ListFilter {
  status?: string | undefined;
  source?: string | undefined;
  action?: string | undefined;
  /** Created at this time or later. */
  from?: Date | undefined;
  /** Created before this time. */
  to?: Date | undefined;
  limit: number;
  /** Where the page before ended. */
  after?: PagePosition | undefined;
}

export interface PagePosition {
  createdAt: Date;
  /** The document's own id, which tells two of one millisecond apart. */
  id: string;
}

/** The database is away or its answer is unknown: nothing may be acknowledged, and it is tried again later. */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable';
}

/** The transactions asked for have more history together than is held in memory at one time. */
export class TooMuchHistory extends Error {
  override name = 'TooMuchHistory';
  /** How many of them were read until then: so many together are not too much, or nearly. */
  readonly fitting: number;

  constructor(fitting: number) {
    super('the histories of the transactions are too much to be read together');
    this.fitting = fitting;
  }
}

/** What a write is known to have done. */
export interface Written {
  /** False when a guard did not match or a document existed: read again and decide again. */
  complete: boolean;
  /** Changes that the database refuses for what they are, by txId. */
  refused: ReadonlyMap<string, string>;
}

/** The record. Every method is one atomic step on each transaction it touches, or changes nothing there. */
export interface TransactionStore {
  /** Connects, builds the indexes that the guarantees stand on, and resolves when they are there, or when the signal is aborted. Tries for ever. */
  prepare(signal: AbortSignal): Promise<void>;
  /** Rejects with StoreUnavailable while the database cannot be written. */
  ping(): Promise<void>;
  state(): { ok: boolean; detail: string };
  /**
   * What a majority of the replica set holds: what is found here cannot be rolled back. Rejects with TooMuchHistory where
   * fewer must be asked for at one time; never of one alone.
   */
  readRecords(txIds: readonly string[]): Promise<ReadonlyMap<string, TransactionRecord>>;
  /**
   * Writes each change if its transaction is still at the version it was decided on: a lost race leaves that one
   * transaction as it is. Journaled by a majority when it resolves.
   */
  writeChanges(changes: readonly RecordChange[], now: Date): Promise<Written>;
  findTransaction(txId: string): Promise<StoredTransaction | undefined>;
  findVersion(txId: string): Promise<number | undefined>;
  /** Newest first. `next` is where the following page begins. */
  listTransactions(
    filter: ListFilter,
  ): Promise<{ items: TransactionSummary[]; next: PagePosition | undefined }>;
  close(): Promise<void>;
}
