import { randomUUID } from 'node:crypto';
import { sendJson, untilRecorded } from './demo-http.ts';
import { table } from './table.ts';

/** What is sent, and what the answer must say: the story of one transaction. */
const story = [
  { action: 'NEW', amount: 1_000, note: 'order 1001', duplicate: false },
  { action: 'DRAFT', amount: 1_000, note: 'cart saved', duplicate: false },
  { action: 'UPDATE', amount: 1_100, note: 'shipping added', duplicate: false },
  { action: 'UPDATE', amount: 1_100, note: 'shipping added', duplicate: true },
  { action: 'UPDATE', amount: 1_250, note: 'gift wrap added', duplicate: false },
  { action: 'APPROVED', amount: 1_250, note: 'paid', duplicate: false },
  { action: 'DRAFT', amount: 1, note: 'came too late', duplicate: false },
] as const;

const expected = {
  status: 'approved',
  action: 'APPROVED',
  amount: 1_250,
  note: 'paid',
  amounts: { authorized: 1_250, captured: 1_250, refunded: 0, disputed: 0 },
  hasNew: true,
  anomalies: [{ n: 6, code: 'after-approved' }],
};

/** Sends the story, reads the transaction, and throws when anything is not as it must be. */
export async function tellStory({
  gatewayUrl,
  paymentUrl,
}: {
  gatewayUrl: string;
  paymentUrl: string;
}): Promise<void> {
  const txId = randomUUID();
  console.log(`POST ${gatewayUrl}/webhooks/x-payment\n`);
  const rows = [];
  for (const { duplicate, ...event } of story) {
    const answer = await sendJson(`${gatewayUrl}/webhooks/x-payment`, { txId, ...event });
    rows.push([
      event.action,
      event.amount,
      event.note,
      answer.status,
      answer.body.duplicate === true ? 'known already' : 'stored',
      answer.body.sequence,
    ]);
    if (answer.status !== 200 || answer.body.duplicate !== duplicate) {
      throw new Error(`${event.action} was answered ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  }
  console.log(table(['sent', 'amount', 'note', 'answer', 'the broker', 'sequence'], rows));

  const transaction = await untilRecorded(`${paymentUrl}/transactions/${txId}`, story.length - 1);
  console.log(`\nGET ${paymentUrl}/transactions/${txId}\n`);
  const shown = ['status', 'amount', 'note', 'amounts', 'hasNew'].map((field) => [
    field,
    JSON.stringify(transaction[field]),
  ]);
  console.log(table(['the transaction', ''], shown));
  console.log();
  const history = transaction.actionHistory.map((entry) => [
    entry.n,
    entry.at,
    entry.action,
    entry.amount,
    entry.note,
    entry.anomalies.join(', ') || '-',
  ]);
  console.log(table(['n', 'at', 'history', 'amount', 'note', 'anomaly'], history));

  for (const [field, value] of Object.entries(expected)) {
    if (JSON.stringify(transaction[field]) !== JSON.stringify(value)) {
      throw new Error(
        `${field} is ${JSON.stringify(transaction[field])} and must be ${JSON.stringify(value)}`,
      );
    }
  }
  console.log(
    '\nSeven webhooks, six events: the repeat changed nothing, and what came too late is recorded without effect.\n',
  );
}
