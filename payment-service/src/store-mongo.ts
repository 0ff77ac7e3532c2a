import { describeError, pause } from '@paystream/runtime';
import mongoose, { type Connection, type Model, type mongo } from 'mongoose';
import type { RecordChange } from './domain/record.ts';
import { type ListFilter, StoreUnavailable, type TransactionStore, type Written } from './store.ts';
import { type TransactionDocument, toOperation, transactionSchema } from './store-mongo-schema.ts';

// Short enough that an outage is seen within a second or two, long enough for an election's usual pause.
const serverSelectionTimeoutMs = 2_000;
const socketTimeoutMs = 10_000;
const connectEveryMs = 500;
const duplicateKey = 11_000;

const summaryFields = { actionHistory: 0, conflicts: 0, relayed: 0, schema: 0 } as const;

/** The record in MongoDB. */
export function createMongoStore({ uri }: { uri: string }): TransactionStore {
  const connection = mongoose.createConnection();
  const transactions = connection.model<TransactionDocument>('Transaction', transactionSchema);
  let detail = 'not connected yet';
  let prepared = false;

  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      const result = await work();
      if (prepared) detail = 'connected';
      return result;
    } catch (error) {
      if (!isOutage(error)) throw error;
      detail = describeError(error);
      throw new StoreUnavailable('the database is away', { cause: error });
    }
  };

  return {
    prepare: async (signal) => {
      while (!prepared && !signal.aborted) {
        try {
          await open(connection, uri);
          await requireReplicaSet(connection);
          await transactions.createCollection();
          await transactions.createIndexes();
          prepared = true;
          detail = 'connected';
        } catch (error) {
          detail = describeError(error);
          await pause(connectEveryMs, signal);
        }
      }
    },
    ping: () => guarded(async () => void (await requireReplicaSet(connection))),
    state: () => ({ ok: prepared && detail === 'connected' && connection.readyState === 1, detail }),
    readRecords: (txIds) =>
      guarded(async () => {
        const found = await transactions
          .find({ txId: { $in: [...txIds] } }, { txId: 1, version: 1, actionHistory: 1, conflicts: 1 })
          .lean();
        return new Map(found.map((document) => [document.txId, document]));
      }),
    writeChanges: (changes, now) => guarded(() => writeChanges(transactions.collection, changes, now)),
    findTransaction: (txId) =>
      guarded(async () => {
        const found = await transactions.findOne({ txId }).lean();
        return found ?? undefined;
      }),
    findVersion: (txId) =>
      guarded(async () => {
        const found = await transactions.findOne({ txId }, { version: 1 }).lean();
        return found?.version;
      }),
    listTransactions: (filter) => guarded(() => listTransactions(transactions, filter)),
    close: async () => {
      await connection.close();
    },
  };
}

async function open(connection: Connection, uri: string): Promise<void> {
  if (connection.readyState === 1) return;
  await connection.openUri(uri, {
    serverSelectionTimeoutMS: serverSelectionTimeoutMs,
    socketTimeoutMS: socketTimeoutMs,
    heartbeatFrequencyMS: 2_000,
    maxPoolSize: 20,
    appName: 'payment-service',
    // An acknowledged write is journaled by a majority, and nothing is read that could still be rolled back.
    writeConcern: { w: 'majority', j: true },
    readConcern: { level: 'majority' },
    readPreference: 'primary',
  });
}

/** On a standalone mongod a write is not retried and an acknowledged one can be lost. */
async function requireReplicaSet(connection: Connection): Promise<void> {
  const hello = await connection.db?.admin().command({ hello: 1 });
  if (hello === undefined) throw new mongoose.mongo.MongoNotConnectedError('not connected');
  if (hello.setName === undefined && hello.msg !== 'isdbgrid') {
    throw new Error('MongoDB must run as a replica set (of one node at least); see README');
  }
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
    const { insertedCount, matchedCount } = await collection.bulkWrite(operations, { ordered: false });
    // For updates only totals are told, so one that did not match is not known by name.
    return { complete: insertedCount + matchedCount === changes.length, refused: nothingRefused };
  } catch (error) {
    if (!(error instanceof mongoose.mongo.MongoBulkWriteError)) throw error;
    if (error.result.getWriteConcernError() !== undefined) throw error;
    const writeErrors = [error.writeErrors].flat();
    const refused = new Map<string, string>();
    for (const { index, code, errmsg } of writeErrors) {
      const change = changes[index];
      if (code !== duplicateKey && change !== undefined) refused.set(change.txId, errmsg ?? `code ${code}`);
    }
    return { complete: false, refused };
  }
}

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
    .lean();
  const items = found.slice(0, limit);
  const last = items.at(-1);
  const next =
    found.length > limit && last ? { createdAt: last.createdAt, id: last._id.toHexString() } : undefined;
  return { items, next };
}

/** Whether the error says that the database is away or that the outcome is unknown, and nothing about the change. */
function isOutage(error: unknown): boolean {
  if (error instanceof mongoose.mongo.MongoBulkWriteError) return true;
  if (error instanceof mongoose.mongo.MongoError) {
    const labels = ['RetryableWriteError', 'TransientTransactionError', 'ResetPool', 'NetworkError'];
    if (labels.some((label) => error.hasErrorLabel(label))) return true;
    // What the server refuses for its content carries a code and no such label.
    return !(error instanceof mongoose.mongo.MongoServerError) || outageCodes.has(Number(error.code));
  }
  return error instanceof mongoose.MongooseError;
}

// Not primary, shutting down, interrupted by either, write concern not met in time, over its time limit.
const outageCodes: ReadonlySet<number> = new Set([
  6, 7, 50, 64, 89, 91, 100, 112, 189, 262, 9001, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436,
]);
