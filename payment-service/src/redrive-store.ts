/** What came of a redrive. `failed`: the dead letter stays, and `error` says why. */
export interface RedriveResult {
  outcome: 'applied' | 'duplicate' | 'conflict' | 'unmapped' | 'failed';
  error: string | null;
  /** Whether the dead letter was taken out. */
  removed: boolean;
}

/** Who had a dead letter applied again, when and why, and what came of it. */
export interface Redrive {
  /** The dead letter's id, the same for every dead letter of one message, and its place at that time. */
  letter: string;
  sequence: number;
  by: string;
  at: Date;
  reason: string;
  /** Null: it goes on, or its process ended. */
  result: RedriveResult | null;
}

export type StoredRedrive = Redrive & { id: string };

export interface RedriveQuery {
  sequence?: number | undefined;
  /** A dead letter's id: another one may have its sequence, in a stream that was made anew. */
  letter?: string | undefined;
  limit: number;
  /** Only what is older than this one. */
  before?: string | undefined;
}

/** The record of redrives; nothing of it is ever removed. All reject with StoreUnavailable in an outage. */
export interface RedriveStore {
  /** Before anything is done. Gives the id. */
  begin(redrive: Omit<Redrive, 'result'>): Promise<string>;
  finish(id: string, result: RedriveResult): Promise<void>;
  /** The latest of each of these dead letters, by the letter's id. */
  latestOf(letters: readonly string[]): Promise<ReadonlyMap<string, StoredRedrive>>;
  /** Newest first. `next` is where the following page begins. */
  list(query: RedriveQuery): Promise<{ items: StoredRedrive[]; next: string | undefined }>;
}
