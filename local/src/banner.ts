import { relative } from 'node:path';

export type BannerOptions = {
  gatewayUrl: string;
  paymentUrl: string;
  /** Undefined when it was given from outside: its address may hold a password. */
  natsUri: string | undefined;
  mongoUri: string | undefined;
  dataDir: string;
  /** For the example. */
  txId: string;
  seconds: number;
};

/** What a person sees when all is ready: where, and what to try. */
export function banner(options: BannerOptions): string {
  const { gatewayUrl, paymentUrl, natsUri, mongoUri, dataDir, txId, seconds } = options;
  const body = JSON.stringify({ txId, action: 'NEW', amount: 100, note: 'first' });
  const shownDir = relative(process.cwd(), dataDir) || dataDir;
  return `
  Paystream is ready (${seconds.toFixed(1)} s).

    gateway    ${gatewayUrl}    ${gatewayUrl}/api-docs
    payments   ${paymentUrl}    ${paymentUrl}/api-docs
    broker     ${natsUri ?? 'the one of NATS_URI'}
    database   ${mongoUri ?? 'the one of MONGO_URI'}
    data       ${shownDir.startsWith('..') ? dataDir : shownDir}

  Send a webhook, then read the transaction:

    curl ${gatewayUrl}/webhooks/x-payment -H 'content-type: application/json' -d '${body}'
    curl ${paymentUrl}/transactions/${txId}

  Ctrl-C stops all of it; the data stay.
`;
}
