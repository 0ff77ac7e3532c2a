import { randomBytes } from 'node:crypto';
import type { MongoClient } from 'mongodb';

const togetherMax = 1_000;
const lanesMax = 3;

/** Transactions in the database, as the payment-service would have written them. Their ids tell their numbers. */
export async function storeTransactions(
  mongo: MongoClient,
  { numbers, eventsEach }: { numbers: readonly number[]; eventsEach: number },
): Promise<void> {
  // Not journaled one by one: how fast they come in is not what is measured.
  const collection = mongo.db().collection('transactions', { writeConcern: { w: 1, j: false } });
  // Large documents in smaller groups.
  const together = Math.max(1, Math.floor(togetherMax / Math.max(1, eventsEach / 10)));
  let next = 0;
  // While the database writes one group, the next is made.
  const lane = async () => {
    while (next < numbers.length) {
      const first = next;
      next = first + together;
      const documents = numbers.slice(first, next).map((number) => documentOf(number, eventsEach));
      await collection.insertMany(documents, { ordered: false });
    }
  };
  await Promise.all(Array.from({ length: lanesMax }, lane));
}

/** A UUID for the number. The first digits differ most, as they do in random ones. */
export function txIdOf(index: number): string {
  const spread = Math.imul(index, 2_654_435_761) >>> 0;
  return `${spread.toString(16).padStart(8, '0')}-0000-4000-8000-${index.toString(16).padStart(12, '0')}`;
}

const day = 86_400_000;

function documentOf(index: number, eventsEach: number) {
  const at = new Date(Date.now() - 30 * day + index);
  const actionHistory = Array.from({ length: eventsEach }, (_, nth) => ({
    n: nth + 1,
    eventId: randomBytes(16).toString('hex'),
    fingerprint: randomBytes(16).toString('hex'),
    action: nth === 0 ? 'NEW' : 'UPDATE',
    amount: BigInt(1_250 + nth),
    note: 'bench',
    source: 'x-payment',
    receivedAt: at,
    storedAt: at,
    at: new Date(at.getTime() + nth),
    sequence: nth + 1,
    deliveries: 1,
  }));
  const last = actionHistory.at(-1);
  return {
    txId: txIdOf(index),
    source: 'x-payment',
    status: eventsEach === 1 ? 'new' : 'updated',
    action: last?.action,
    amount: last?.amount,
    note: 'bench',
    amounts: { authorized: 0n, captured: 0n, refunded: 0n, disputed: 0n },
    hasNew: true,
    actionHistory,
    anomalies: [],
    conflicts: [],
    relayed: 0,
    schema: 1,
    version: eventsEach,
    createdAt: at,
    updatedAt: at,
  };
}
