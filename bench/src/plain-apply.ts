// What a team writes first: one message after the other, look for its transaction, write it, acknowledge.
import { MongoClient } from 'mongodb';
import { connect } from 'nats';

const { NATS_URI, MONGO_URI } = process.env;
if (NATS_URI === undefined || MONGO_URI === undefined) throw new Error('NATS_URI and MONGO_URI are needed');

interface Transaction {
  _id: string;
  status: string;
  amount: number;
  note: string;
  actionHistory: { action: string; amount: number; note: string; at: Date }[];
}

const nats = await connect({ servers: NATS_URI });
const mongo = await MongoClient.connect(MONGO_URI);
// As safe as ours: journaled by a majority before the message is acknowledged.
const transactions = mongo
  .db()
  .collection<Transaction>('plain', { writeConcern: { w: 'majority', j: true } });

const consumer = await nats.jetstream().consumers.get('payment', 'payment-consumer');
const messages = await consumer.consume({ max_messages: 100 });
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => messages.stop());

for await (const message of messages) {
  const { txId, action, amount, note } = message.json<
    Record<'txId' | 'action' | 'note', string> & { amount: number }
  >();
  const entry = { action, amount, note, at: new Date() };
  const found = await transactions.findOne({ _id: txId });
  if (found === null) {
    await transactions.insertOne({ _id: txId, status: action, amount, note, actionHistory: [entry] });
  } else {
    await transactions.updateOne(
      { _id: txId },
      { $set: { status: action, amount, note }, $push: { actionHistory: entry } },
    );
  }
  message.ack();
}
await nats.drain();
await mongo.close();
