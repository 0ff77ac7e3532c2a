import { type Log, pause } from '@paystream/runtime';
import mongoose, { type Model, type mongo } from 'mongoose';
import type { RecordChange, TransactionRecord } from './domain/record.ts';
import { type ListFilter, TooMuchHistory, type TransactionStore, type Written } from './store.ts';
import {
  createMongoLink,
  duplicateKey,
  guarded,
  isOutage,
  type MongoLink,
} from './store-mongo-connection.ts';
import {
  recordFields,
  type TransactionDocument,
  toOperation,
  transactionSchema,
} from './store-mongo-schema.ts';

const connectEveryMs = 500;
// Some 20 MB as objects. A usual batch has some thousand; five hundred transactions may have five million.
const defaultEntriesMax = 50_000;

const summaryFields = { actionHistory: 0, conflicts: 0, relayed: 0, schema: 0 } as const;

/** The record in MongoDB. Throws a ConfigError when the address cannot be understood. */
export function createMongoStore({
  uri,
  log,
  link = createMongoLink({ uri, log }),
  entriesMax = defaultEntriesMax,
}: {
  uri: string;
  log: Log;
  /** Where others share the connection. */
  link?: MongoLink;
  /** Entries of histories in memory at one time, those of a single transaction aside. */
  entriesMax?: number;
}): TransactionStore {
  const model = link.connection.model<TransactionDocument>('Transaction', transactionSchema);
  const transactions = () => link.whileOpen(model);

  return {
    prepare: async (signal) => {
      while (!signal.aborted) {
        try {
          await link.open(async () => transactions().createIndexes());
          return;
        } catch {
          // The link has said why.
          await pause(connectEveryMs, signal);
        }
      }
    },
    ping: () => guarded(link.requirePrimary, () => true),
    state: link.state,
    readRecords: (txIds) =>
      guarded(async () => {
        if (txIds.length === 0) return new Map();
        // Past mongoose, and in one answer of the server where that fits into its 16 MB.
        return readRecords(
          transactions().collection.find<TransactionRecord>(
            { txId: { $in: [...txIds] } },
            { projection: recordFields, batchSize: txIds.length + 1 },
          ),
          { count: txIds.length, entriesMax },
        );
      }),
    writeChanges: (changes, now) => guarded(() => writeChanges(transactions().collection, changes, now)),
    findTransaction: (txId) =>
      guarded(async () => {
        const found = await transactions().findOne({ txId }).lean();
        return found ?? undefined;
      }),
    findVersion: (txId) =>
      guarded(async () => {
        const found = await transactions().findOne({ txId }, { version: 1 }).lean();
        return found?.version;
      }),
    listTransactions: (filter) => guarded(() => listTransactions(transactions(), filter)),
    close: link.close,
  };
}

/** Documents become objects one by one, so that it is known in time when they are too many. */
async function readRecords(
  found: AsyncIterable<TransactionRecord>,
  { count, entriesMax }: { count: number; entriesMax: number },
): Promise<ReadonlyMap<string, TransactionRecord>> {
  const records = new Map<string, TransactionRecord>();
  let entries = 0;
  for await (const record of found) {
    records.set(record.txId, record);
    entries += record.actionHistory.length + record.conflicts.length;
    if (entries > entriesMax && records.size < count) throw new TooMuchHistory(records.size);
  }
  return records;
}

async function writeChanges(
  collection: { bulkWrite: mongo.Collection['bulkWrite'] },
  changes: readonly RecordChange[],
  now: Date,
): Promise<Written> {
  const nothingRefused: ReadonlyMap<string, string> = new Map();
  if (changes.length === 0) return { complete: true, refused: nothingRefused };
  const operations = changes.map((change) => toOperation(change, now));
  try {
    const { insertedCount, matchedCount } = await collection.bulkWrite(operations, {
      ordered: false,
      ignoreUndefined: true,
    });
    // For updates only totals are told, so one that did not match is not known by name.
    return { complete: insertedCount + matchedCount === changes.length, refused: nothingRefused };
  } catch (error) {
    if (!(error instanceof mongoose.mongo.MongoBulkWriteError)) throw error;
    const writeErrors = [error.writeErrors].flat();
    // Only where every failure is told one by one, and is about its change, is the outcome of the others known.
    if (writeErrors.length === 0 || isOutage(error)) throw error;
    const refused = new Map<string, string>();
    for (const { index, code, errmsg } of writeErrors) {
      const change = changes[index];
      if (code !== duplicateKey && change !== undefined) refused.set(change.txId, errmsg ?? `code ${code}`);
    }
    return { complete: false, refused };
  }
}

/** A filter that nothing or hardly anything meets has the database look at all that an index names. */
const listWithinMs = 3_000;

async function listTransactions(
  model: Model<TransactionDocument>,
  { status, source, action, from, to, limit, after }: ListFilter,
): ReturnType<TransactionStore['listTransactions']> {
  const query = model.find({}, summaryFields);
  if (status !== undefined) query.where('status', status);
  if (source !== undefined) query.where('source', source);
  if (action !== undefined) query.where('action', action);
  if (from !== undefined) query.where('createdAt').gte(from.getTime());
  if (to !== undefined) query.where('createdAt').lt(to.getTime());
  if (after !== undefined) {
    const { createdAt, id } = after;
    const earlierOfSameTime = { createdAt, _id: { $lt: new mongoose.Types.ObjectId(id) } };
    query.and([{ $or: [{ createdAt: { $lt: createdAt } }, earlierOfSameTime] }]);
  }
  const found = await query
    .sort({ createdAt: -1, _id: -1 })
    .limit(limit + 1)
    .maxTimeMS(listWithinMs)
    .lean();
  const items = found.slice(0, limit);
  const last = items.at(-1);
  const next =
    found.length > limit && last ? { createdAt: last.createdAt, id: last._id.toHexString() } : undefined;
  return { items, next };
}
