import { randomUUID } from 'node:crypto';
import { encodeEvent, identify, publishBatch, toOutgoing } from '@paystream/nats';
import type { NatsConnection } from 'nats';

export interface FillOptions {
  transactions: number;
  /** Of each transaction, one after the other. */
  eventsEach: number;
  /** The id of the transaction of that number; another one each time unless told. */
  txIdOf?: (index: number) => string;
}

// Transactions that are in progress at one time: two events of one are that many messages apart, so that few batches
// have more than one, which would be to our advantage.
const abreast = 1_000;
const togetherMax = 500;

/** Events as a gateway publishes them, only not over HTTP and many in one batch. Resolves with the transactions' ids. */
export async function fillQueue(
  nats: NatsConnection,
  { transactions, eventsEach, txIdOf = () => randomUUID() }: FillOptions,
): Promise<string[]> {
  const txIds = Array.from({ length: transactions }, (_, index) => txIdOf(index));
  let waiting: ReturnType<typeof messageOf>[] = [];
  const flush = async () => {
    if (waiting.length === 0) return;
    const outcome = await publishBatch(nats, waiting, { timeoutMs: 20_000, stream: 'payment' });
    if (outcome.kind !== 'stored') throw new Error(`a batch was not stored: ${outcome.detail}`);
    waiting = [];
  };
  for (let from = 0; from < transactions; from += abreast) {
    for (let nth = 0; nth < eventsEach; nth += 1) {
      for (const txId of txIds.slice(from, from + abreast)) {
        waiting.push(messageOf(txId, nth, eventsEach));
        if (waiting.length === togetherMax) await flush();
      }
    }
  }
  await flush();
  return txIds;
}

/** NEW, then updates, and where there is more than one, an approval as the last. */
function messageOf(txId: string, nth: number, of: number) {
  const { event } = identify({
    txId,
    action: nth === 0 ? 'NEW' : nth === of - 1 ? 'APPROVED' : 'UPDATE',
    amount: 1_250 + nth,
    note: 'bench',
    source: 'x-payment',
    // Else a transaction that is drawn twice would have equal events.
    eventId: randomUUID(),
    receivedAt: new Date().toISOString(),
  });
  return toOutgoing(encodeEvent(event));
}
