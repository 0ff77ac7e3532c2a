import { type mongo, Schema, type Types } from 'mongoose';
import type { HistoryEntry, KnownFact, RecordChange } from './domain/record.ts';
import type { StoredTransaction } from './store.ts';

/** One document of the collection `transactions`, as it is read. */
export interface TransactionDocument extends StoredTransaction {
  _id: Types.ObjectId;
  /** How many entries of the history others have been told of. */
  relayed: number;
  /** The form of this document. */
  schema: number;
}

// Amounts are 64-bit integers in the database: a double would be exact as well, but sums over many would not.
const amount = { type: BigInt, required: true };
const fact = {
  eventId: String,
  fingerprint: String,
  action: String,
  amount,
  note: String,
  source: String,
  currency: String,
  reference: String,
  webhookId: String,
  occurredAt: Date,
  receivedAt: Date,
  storedAt: Date,
  sequence: Number,
  at: Date,
  deliveries: Number,
};
export const transactionSchema: Schema = new Schema(
  {
    txId: { type: String, required: true },
    source: String,
    status: String,
    action: String,
    amount,
    currency: String,
    note: String,
    amounts: { authorized: amount, captured: amount, refunded: amount, disputed: amount },
    hasNew: Boolean,
    actionHistory: [new Schema({ n: Number, ...fact }, { _id: false })],
    anomalies: [new Schema({ n: Number, code: String }, { _id: false })],
    conflicts: [new Schema({ ...fact, recordedFingerprint: String }, { _id: false })],
    relayed: Number,
    schema: Number,
    version: Number,
    createdAt: Date,
    updatedAt: Date,
  },
  {
    collection: 'transactions',
    strict: 'throw',
    strictQuery: 'throw',
    autoIndex: false,
    autoCreate: false,
    bufferCommands: false,
    versionKey: false,
    suppressReservedKeysWarning: true,
  },
);
// The guarantee: one document for a txId, whoever inserts first.
transactionSchema.index({ txId: 1 }, { unique: true });
// Pages, newest first, plain and by each filter.
transactionSchema.index({ createdAt: -1, _id: -1 });
for (const filter of ['status', 'source', 'action']) {
  transactionSchema.index({ [filter]: 1, createdAt: -1, _id: -1 });
}

const factFields: readonly (keyof KnownFact)[] = [
  'n',
  'eventId',
  'fingerprint',
  'action',
  'amount',
  'note',
  'source',
  'currency',
  'reference',
  'at',
  'sequence',
  'deliveries',
];

/** What of a document is read to decide the next event. */
export const recordFields: Readonly<Record<string, 1>> = {
  txId: 1,
  version: 1,
  conflicts: 1,
  ...Object.fromEntries(factFields.map((field) => [`actionHistory.${field}`, 1])),
};

/** The write for one change, guarded by the version that it was decided on. What is undefined in it is not to be written. */
export function toOperation(
  change: RecordChange,
  now: Date,
): mongo.AnyBulkWriteOperation<mongo.BSON.Document> {
  const { txId, expectedVersion, newEntries, newConflicts, state } = change;
  const { currency, amount: headline, amounts } = state;
  const derived = {
    ...state,
    amount: BigInt(headline),
    amounts: {
      authorized: BigInt(amounts.authorized),
      captured: BigInt(amounts.captured),
      refunded: BigInt(amounts.refunded),
      disputed: BigInt(amounts.disputed),
    },
    updatedAt: now,
  };
  const history = newEntries.map(toDocument);
  const conflicts = newConflicts.map(toDocument);
  if (expectedVersion === 0) {
    const first = { relayed: 0, schema: 1, version: 1, createdAt: now };
    return { insertOne: { document: { txId, ...derived, actionHistory: history, conflicts, ...first } } };
  }
  // The driver's type wants to know each array by name; a document of ours is known by its schema.
  const push = {
    actionHistory: { $each: history },
    conflicts: { $each: conflicts },
  } as unknown as mongo.PushOperator<mongo.BSON.Document>;
  return {
    updateOne: {
      filter: { txId, version: expectedVersion },
      update: {
        $push: push,
        $set: derived,
        // A later fact can put an earlier one out of effect, and its currency with it.
        ...(currency === undefined ? { $unset: { currency: '' } } : {}),
        $inc: { version: 1 },
      },
    },
  };
}

const toDocument = <Fact extends Omit<HistoryEntry, 'n'>>(entry: Fact) => ({
  ...entry,
  amount: BigInt(entry.amount),
});
