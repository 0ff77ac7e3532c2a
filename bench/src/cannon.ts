// The load generator, in a process of its own: autocannon, each webhook a new transaction. Options as JSON in argv[2].
import { writeFileSync } from 'node:fs';
import autocannon from 'autocannon';
import { stripeBodies, xPaymentBodies } from './bodies.ts';
import type { CannonOptions, CannonResult } from './shoot.ts';

const options: CannonOptions = JSON.parse(process.argv[2] ?? '{}');
const next = options.stripeSecret === undefined ? xPaymentBodies() : stripeBodies(options.stripeSecret);
const answers: string[] = [];

const cpuBefore = process.cpuUsage();
const result = await autocannon({
  url: options.url,
  connections: options.connections,
  duration: options.seconds,
  ...(options.perSecond === undefined ? {} : { overallRate: options.perSecond }),
  method: 'POST',
  requests: [
    {
      setupRequest: (request) => ({ ...request, ...next() }),
      ...(options.answersFile === undefined ? {} : { onResponse: noteAnswer }),
    },
  ],
});
if (options.answersFile !== undefined) writeFileSync(options.answersFile, answers.join('\n'));

const { user, system } = process.cpuUsage(cpuBefore);
const { latency, duration } = result;
const told: CannonResult = {
  ok: result['2xx'],
  refused: result['5xx'],
  failed: result.errors + result['3xx'] + result['4xx'],
  seconds: duration,
  perSecond: result['2xx'] / duration,
  p50: latency.p50,
  p99: latency.p99,
  worst: latency.max,
  busy: (user + system) / 1e6 / duration,
};
process.stdout.write(JSON.stringify(told));

/** `<txId> <answered at>` of each 200; the id begins with the transaction's. */
function noteAnswer(status: number, body: string): void {
  if (status !== 200) return;
  const at = body.indexOf('"id":"') + 6;
  answers.push(`${body.slice(at, at + 36)} ${Date.now()}`);
}
