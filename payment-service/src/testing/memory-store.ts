import type { RecordChange, TransactionRecord } from '../domain/record.ts';
import { StoreUnavailable, type TransactionStore, type Written } from '../store.ts';

type Writing = Pick<TransactionStore, 'readRecords' | 'writeChanges'>;

export interface MemoryStore extends TransactionStore {
  records: Map<string, TransactionRecord>;
  calls: { reads: number; writes: number };
  /** In the place of the next calls; each is used once, and may do the real thing itself. */
  next: { readRecords: Writing['readRecords'][]; writeChanges: Writing['writeChanges'][] };
  /** Called before each step, for a test that decides the order of concurrent ones. */
  beforeStep: () => Promise<void>;
  /** What a write does, without counting. */
  apply(changes: readonly RecordChange[]): Written;
}

/** The record in memory, with the guards of the real one and no more than a test of the decisions needs. */
export function createMemoryStore(): MemoryStore {
  const records = new Map<string, TransactionRecord>();

  const applyOne = ({ txId, expectedVersion, newEntries, newConflicts }: RecordChange): boolean => {
    const record = records.get(txId);
    if ((record?.version ?? 0) !== expectedVersion) return false;
    records.set(txId, {
      txId,
      version: expectedVersion + 1,
      actionHistory: [...(record?.actionHistory ?? []), ...newEntries],
      conflicts: [...(record?.conflicts ?? []), ...newConflicts],
    });
    return true;
  };
  const unused = () => Promise.reject(new StoreUnavailable('not part of this fake'));

  const store: MemoryStore = {
    records,
    calls: { reads: 0, writes: 0 },
    next: { readRecords: [], writeChanges: [] },
    beforeStep: async () => undefined,
    apply: (changes) => ({
      complete: changes.map(applyOne).every((done) => done),
      refused: new Map(),
    }),
    readRecords: async (txIds) => {
      await store.beforeStep();
      store.calls.reads += 1;
      const instead = store.next.readRecords.shift();
      if (instead !== undefined) return instead(txIds);
      return new Map(
        txIds.flatMap((txId) => {
          const record = records.get(txId);
          return record === undefined ? [] : [[txId, record] as const];
        }),
      );
    },
    writeChanges: async (changes, now) => {
      await store.beforeStep();
      store.calls.writes += 1;
      const instead = store.next.writeChanges.shift();
      return instead === undefined ? store.apply(changes) : instead(changes, now);
    },
    prepare: async () => undefined,
    ping: async () => undefined,
    state: () => ({ ok: true, detail: 'in memory' }),
    findTransaction: unused,
    findVersion: async (txId) => records.get(txId)?.version,
    listTransactions: unused,
    close: async () => undefined,
  };
  return store;
}
