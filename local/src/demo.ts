import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { createStack } from './stack.ts';
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

interface Transaction {
  status: string;
  anomalies: { n: number; code: string }[];
  actionHistory: {
    n: number;
    at: string;
    action: string;
    amount: number;
    note: string;
    anomalies: string[];
  }[];
  [field: string]: unknown;
}

// Each answer is due within a few milliseconds; this only bounds a broken system.
const answerWithinMs = 10_000;

process.exitCode = await main();

async function main(): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'paystream-demo-'));
  const log: string[] = [];
  const [gatewayPort, paymentPort, natsPort, mongoPort] = await freePorts();
  const stack = createStack({
    gatewayPort,
    paymentPort,
    natsPort,
    mongoPort,
    dataDir,
    say: (line) => log.push(line),
    onLine: (service, line) => log.push(`${service} | ${line}`),
  });
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => reject(new Error('stopped')));
  });
  try {
    console.log('\nStarting a broker, a database and both services on free ports, in a throw-away folder.\n');
    await Promise.race([stack.start(), interrupted]);
    await Promise.race([tell(stack), interrupted]);
    return 0;
  } catch (error) {
    console.error(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    for (const line of log.slice(-15)) console.error(`  ${line}`);
    return 1;
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Sends the story, reads the transaction, and throws when anything is not as it must be. */
async function tell({ gatewayUrl, paymentUrl }: { gatewayUrl: string; paymentUrl: string }): Promise<void> {
  const txId = randomUUID();
  console.log(`POST ${gatewayUrl}/webhooks/x-payment   (transaction ${txId})\n`);
  const rows = [];
  for (const { duplicate, ...event } of story) {
    const answer = await postJson(`${gatewayUrl}/webhooks/x-payment`, { txId, ...event });
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

async function untilRecorded(url: string, events: number): Promise<Transaction> {
  const deadline = performance.now() + answerWithinMs;
  let etag = '';
  while (performance.now() < deadline) {
    const answer = await fetch(`${url}?wait=5`, {
      headers: etag === '' ? {} : { 'if-none-match': etag },
      signal: AbortSignal.timeout(answerWithinMs),
    });
    if (answer.status === 200) {
      const transaction: Transaction = JSON.parse(await answer.text());
      if (transaction.actionHistory.length >= events) return transaction;
      etag = answer.headers.get('etag') ?? '';
    }
  }
  throw new Error(`the transaction had not ${events} events after ${answerWithinMs / 1_000} s`);
}

async function postJson(
  url: string,
  body: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(answerWithinMs),
  });
  return { status: answer.status, body: JSON.parse(await answer.text()) };
}

async function freePorts(): Promise<[number, number, number, number]> {
  return [await freePort(), await freePort(), await freePort(), await freePort()];
}
