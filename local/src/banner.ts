import { relative } from 'node:path';

export type BannerOptions = {
  gatewayUrl: string;
  paymentUrl: string;
  /** Undefined when it was given from outside: its address may hold a password. */
  natsUri: string | undefined;
  mongoUri: string | undefined;
  dataDir: string;
  /** Undefined when operators' tokens were given from outside: they are known as hashes only. */
  tokenPath: string | undefined;
  /** For the example. */
  txId: string;
  seconds: number;
};

/** What a person sees when all is ready: where, and what to try. */
export function banner(options: BannerOptions): string {
  const { gatewayUrl, paymentUrl, natsUri, mongoUri, dataDir, tokenPath, txId, seconds } = options;
  const body = JSON.stringify({ txId, action: 'NEW', amount: 100, note: 'first' });
  const change = JSON.stringify({ speed: 4, reason: 'catch up' });
  const token = tokenPath === undefined ? '<operator token>' : `$(cat ${quoted(shown(tokenPath))})`;
  return `
  Paystream is ready (${seconds.toFixed(1)} s).

    gateway    ${gatewayUrl}    ${gatewayUrl}/api-docs
    payments   ${paymentUrl}    ${paymentUrl}/api-docs
    broker     ${natsUri ?? 'the one of NATS_URI'}
    database   ${mongoUri ?? 'the one of MONGO_URI'}
    data       ${shown(dataDir)}
    operator   ${tokenPath === undefined ? 'the ones of OPERATOR_TOKENS' : `${shown(tokenPath)} holds the token`}

  Send a webhook, then read the transaction:

    curl ${gatewayUrl}/webhooks/x-payment -H 'content-type: application/json' -d '${body}'
    curl ${paymentUrl}/transactions/${txId}

  Or a signed sample of any provider:

    npm run send -- stripe payment_intent.succeeded

  After an outage, see how the backlog is replayed, and as an operator replay it faster:

    curl ${paymentUrl}/replay
    curl -X PUT ${paymentUrl}/replay -H "authorization: Bearer ${token}" -H 'content-type: application/json' -d '${change}'

  Ctrl-C stops all of it; the data stay.
`;
}

/** As short as it is clear: relative to where the person is, unless it lies elsewhere. */
function shown(path: string): string {
  const fromHere = relative(process.cwd(), path) || path;
  return fromHere.startsWith('..') ? path : fromHere;
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
