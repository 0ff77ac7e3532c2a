// Many senders in a process of its own: each sends the next webhook as soon as the last one is answered. Writes one line of
// JSON for each: [txId, status or error, Retry-After, code of the problem].
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';

const [url, senders, webhooks, bytes] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: Number(senders) });
let left = Number(webhooks);

function send() {
  const txId = randomUUID();
  const body = JSON.stringify({ txId, action: 'NEW', amount: 1_250, note: 'flood' }).padEnd(Number(bytes));
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  return new Promise((resolve) => {
    const sent = request(url, { method: 'POST', agent, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece) => {
        text += piece;
      });
      const { statusCode, headers: told } = answer;
      answer.on('end', () => resolve([txId, statusCode, told['retry-after'] ?? null, JSON.parse(text).code]));
    });
    sent.on('error', ({ code }) => resolve([txId, code, null, code]));
    sent.end(body);
  });
}

async function sendAll() {
  while (left > 0) {
    left -= 1;
    process.stdout.write(`${JSON.stringify(await send())}\n`);
  }
}

await Promise.all(Array.from({ length: Number(senders) }, sendAll));
agent.destroy();
