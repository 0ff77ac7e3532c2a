import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';
import type { JsMsg, NatsConnection } from 'nats';
import { type Drained, watchDrain } from './drain.ts';

const togetherMax = 500;
const inFlightMax = 2;

/**
 * The broker's own ceiling: messages are pulled and acknowledged, as many together as ours takes, and nothing else is done.
 * One by one as they come (which is what \`consume()\` suggests) is slower than ours.
 */
export async function drainByAcksAlone(nats: NatsConnection, withinMs: number): Promise<Drained> {
  const consumer = await nats.jetstream().consumers.get('payment', 'payment-consumer');
  let done = false;
  const lane = async () => {
    while (!done) {
      const messages: JsMsg[] = [];
      for await (const message of await consumer.fetch({ max_messages: togetherMax, expires: 1_000 })) {
        messages.push(message);
      }
      for (const message of messages) message.ack();
    }
  };
  const lanes = Promise.all(Array.from({ length: inFlightMax }, lane));
  try {
    return await watchDrain(nats, { withinMs });
  } finally {
    // Left running it would take the events of whoever comes next.
    done = true;
    await lanes;
  }
}

export interface BulkOptions {
  transactions: number;
  eventsEach: number;
}

/** The database's own ceiling: the writes that the record makes, and no read, no message, no fold. Writes a second. */
export async function bulkWriteAlone(mongoUri: string, options: BulkOptions): Promise<number> {
  const mongo = await MongoClient.connect(mongoUri);
  try {
    const collection = mongo.db().collection('ceiling', { writeConcern: { w: 'majority', j: true } });
    await collection.drop().catch(() => undefined);
    await collection.createIndex({ txId: 1 }, { unique: true });
    await collection.createIndex({ createdAt: -1, _id: -1 });
    for (const field of ['status', 'source', 'action']) {
      await collection.createIndex({ [field]: 1, createdAt: -1, _id: -1 });
    }
    const batches = operationsOf(options);
    const startedAt = performance.now();
    let next = 0;
    const lane = async () => {
      for (let batch = batches[next]; batch !== undefined; batch = batches[next]) {
        next += 1;
        await collection.bulkWrite(batch, { ordered: false });
      }
    };
    await Promise.all(Array.from({ length: inFlightMax }, lane));
    const seconds = (performance.now() - startedAt) / 1_000;
    await collection.drop();
    return (options.transactions * options.eventsEach) / seconds;
  } finally {
    await mongo.close();
  }
}

function operationsOf({ transactions, eventsEach }: BulkOptions) {
  const txIds = Array.from({ length: transactions }, () => randomUUID());
  const all = Array.from({ length: eventsEach }, (_, nth) =>
    txIds.map((txId) => operationOf(txId, nth)),
  ).flat();
  return Array.from({ length: Math.ceil(all.length / togetherMax) }, (_, index) =>
    all.slice(index * togetherMax, (index + 1) * togetherMax),
  );
}

/** As large as the record's. */
function operationOf(txId: string, nth: number) {
  const now = new Date();
  const entry = {
    n: nth + 1,
    eventId: randomUUID().replaceAll('-', ''),
    fingerprint: randomUUID().replaceAll('-', ''),
    action: nth === 0 ? 'NEW' : 'UPDATE',
    amount: 1_250n,
    note: 'bench',
    source: 'x-payment',
    receivedAt: now,
    storedAt: now,
    at: now,
    sequence: nth,
    deliveries: 1,
  };
  const amounts = { authorized: 0n, captured: 0n, refunded: 0n, disputed: 0n };
  const state = {
    source: 'x-payment',
    status: entry.action.toLowerCase(),
    action: entry.action,
    amount: 1_250n,
    note: 'bench',
    amounts,
    hasNew: true,
    anomalies: [],
    updatedAt: now,
  };
  if (nth === 0) {
    const document = {
      txId,
      ...state,
      actionHistory: [entry],
      conflicts: [],
      relayed: 0,
      schema: 1,
      version: 1,
      createdAt: now,
    };
    return { insertOne: { document } };
  }
  // The driver's type wants to know each array by name.
  const push = { actionHistory: { $each: [entry] } } as never;
  return {
    updateOne: { filter: { txId, version: nth }, update: { $set: state, $push: push, $inc: { version: 1 } } },
  };
}
