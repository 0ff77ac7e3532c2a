// What a service with nothing but JetStream's own means does: pull, write, acknowledge, one message after the other.
import { MongoClient } from 'mongodb';
import { connect } from 'nats';

const { NATS_URI, MONGO_URI } = process.env;
if (NATS_URI === undefined || MONGO_URI === undefined) throw new Error('NATS_URI and MONGO_URI are needed');

const nats = await connect({ servers: NATS_URI });
const mongo = await MongoClient.connect(MONGO_URI);
// As safe as ours: journaled by a majority before the message is acknowledged, one document for each transaction.
const transactions = mongo
  .db()
  .collection<{ _id: string }>('plain', { writeConcern: { w: 'majority', j: true } });
await transactions.estimatedDocumentCount();

const consumer = await nats.jetstream().consumers.get('payment', 'payment-consumer');
const messages = await consumer.consume({ max_messages: 100 });
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => messages.stop());
say({ msg: 'ready' });

for await (const message of messages) {
  const event = message.json<{ txId: string; action: string; amount: number; note: string }>();
  const storedAt = new Date(message.info.timestampNanos / 1_000_000).toISOString();
  const entry = { ...event, storedAt, sequence: message.seq };
  await transactions.updateOne(
    { _id: event.txId },
    { $set: { status: event.action, amount: event.amount }, $push: { actionHistory: entry } },
    { upsert: true },
  );
  message.ack();
  // The line that ours writes.
  const { deliveryCount: deliveries } = message.info;
  say({ msg: 'message.settled', outcome: 'applied', txId: event.txId, storedAt, deliveries });
}
await nats.drain();
await mongo.close();

function say(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`);
}
