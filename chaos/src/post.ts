import { Agent, request } from 'node:http';
import type { Answer, Webhook } from './history.ts';

/** What providers do: they give up after this, and send again. */
const answerWithinMs = 10_000;

// A connection for each request: one that is kept could be closed by the other side in the moment of its next use.
const agent = new Agent({ keepAlive: false });

/** One request. Never rejects: whatever happened to it is an answer, or none. */
export function post(url: string, webhook: Webhook, signal: AbortSignal): Promise<Answer> {
  const { txId, action, amount, note, webhookId } = webhook;
  const body = JSON.stringify({ txId, action, amount, note });
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(webhookId === undefined ? {} : { 'webhook-id': webhookId }),
  };
  return new Promise((resolve) => {
    const none = (detail: string) => resolve({ kind: 'none', detail });
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]);
    const asked = request(url, { method: 'POST', agent, headers, signal: timeout }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', (error) => none(error.message));
      answer.on('end', () => resolve(read(answer.statusCode ?? 0, Buffer.concat(chunks).toString())));
    });
    asked.on('error', (error) => none(error.message));
    asked.end(body);
  });
}

function read(status: number, body: string): Answer {
  if (status !== 200) return { kind: 'refused', status };
  const { duplicate, sequence } = JSON.parse(body);
  return { kind: 'stored', duplicate, sequence };
}
