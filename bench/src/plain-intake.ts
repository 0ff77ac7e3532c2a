// What a team writes first: Express, its JSON parser, one publish for each webhook under `<txId>.<action>`.
import express from 'express';
import { connect } from 'nats';

const { NATS_URI, PORT } = process.env;
const nats = await connect({ servers: NATS_URI ?? '' });
const js = nats.jetstream();
const app = express();
app.use(express.json());
app.get('/readyz', (_req, res) => void res.json({ status: 'ready' }));
app.post('/webhooks/x-payment', async (req, res) => {
  const { txId, action, amount, note } = req.body;
  if (typeof txId !== 'string' || typeof action !== 'string' || typeof amount !== 'number') {
    res.status(400).json({ message: 'invalid' });
    return;
  }
  const message = JSON.stringify({ txId, action, amount, note });
  const ack = await js.publish(`payments.${action.toLowerCase()}`, message, { msgID: `${txId}.${action}` });
  res.status(200).json({ message: 'success', duplicate: ack.duplicate, id: txId });
});
app.listen(Number(PORT), '127.0.0.1');
