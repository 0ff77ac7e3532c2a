import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import { startCollector } from '../../test/collector.ts';
import { eventually } from '../../test/harness.ts';
import { parseConfig } from './config.ts';
import { createLog } from './log.ts';
import { openTracing, type Tracing, tracingSettings } from './tracing.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function openTo(endpoint: string): Promise<Tracing> {
  const settings = parseConfig(z.object(tracingSettings), { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  const log = createLog({ name: 'test', level: 'silent' });
  const tracing = await openTracing({ settings, service: 'a-service', log });
  if (tracing === undefined) throw new Error('there is an endpoint');
  return tracing;
}

const sendSpans = (tracing: Tracing, count: number) => {
  for (let index = 0; index < count; index += 1)
    tracing.start({ name: `span ${index}`, kind: 'server', parent: undefined, attributes: { index } }).end();
};

test('what waits is sent at the end, and what was over the limit is not there', async () => {
  const collector = await startCollector();
  closing.push(collector.close);
  const tracing = await openTo(`${collector.url}/`);

  sendSpans(tracing, 8_000);
  await tracing.close();
  // A machine that is busy may need more than the second that a stop waits.
  await eventually(() => collector.spans.length, { within: 30_000, until: (count) => count >= 4_096 });

  // One batch was on its way.
  expect(collector.spans.length).toBeLessThanOrEqual(4_096 + 128);
  expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(collector.spans.length);
});

test('a collector that says nothing holds up the end for a second and no longer', async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const tracing = await openTo(`http://127.0.0.1:${port}`);

  sendSpans(tracing, 5_000);
  const stoppedAt = performance.now();
  await tracing.close();

  expect(sockets.size).toBeGreaterThan(0);
  expect(performance.now() - stoppedAt).toBeLessThan(2_500);
});
