/** Each answer is due within a few milliseconds; this only bounds a broken system. */
export const answerWithinMs = 10_000;

export interface JsonAnswer {
  status: number;
  body: Record<string, unknown>;
}

export async function sendJson(
  url: string,
  body: unknown,
  { method = 'POST', token }: { method?: 'POST' | 'PUT'; token?: string } = {},
): Promise<JsonAnswer> {
  const answer = await fetch(url, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(answerWithinMs),
  });
  return { status: answer.status, body: JSON.parse(await answer.text()) };
}

export interface Transaction {
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

/** The transaction, once it has that many events. */
export async function untilRecorded(url: string, events: number): Promise<Transaction> {
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
