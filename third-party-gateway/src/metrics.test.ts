import { describe, expect, test } from '@jest/globals';
import type { Publisher, PublishOutcome } from '@paystream/nats';
import { createRegistry, problemCodes } from '@paystream/runtime';
import { createGatewayMetrics } from './metrics.ts';
import { openXPayment } from './testing/start-gateway.ts';

function counting() {
  const registry = createRegistry(() => ({ ready: true, parts: {} }));
  const sources = openXPayment();
  const [source] = sources;
  if (source === undefined) throw new Error('there is no source');
  const metrics = createGatewayMetrics({ registry, sources });
  const samples = async (name: string) =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`));
  return { registry, source, metrics, samples };
}

describe('what is counted of webhooks', () => {
  test('is there from the start, so that the first one of a kind is an increase', async () => {
    const { samples } = counting();

    const told = await samples('paystream_webhooks_total');

    expect(told).toHaveLength(10);
    expect(told.every((line) => line.endsWith(' 0'))).toBe(true);
    expect(await samples('paystream_webhooks_unmapped_total')).toEqual([
      'paystream_webhooks_unmapped_total{source="x-payment"} 0',
    ]);
  });

  test('has one outcome for every answer that there is, and its code where it was not taken', async () => {
    const { source, metrics, samples } = counting();

    for (const answer of ['stored', 'duplicate', ...problemCodes] as const) {
      metrics.begun();
      metrics.answered(source, answer);
    }
    const told = (await samples('paystream_webhooks_total')).filter((line) => line.includes('x-payment'));
    const counts = told.map((line) => Number(line.split(' ').at(-1)));

    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(problemCodes.length + 2);
    expect(told.filter((line) => line.endsWith(' 0'))).toEqual([]);
    expect(await samples('paystream_webhooks_refused_total')).toHaveLength(problemCodes.length);
  });

  test('has no label for an address that names no source', async () => {
    const { metrics, samples } = counting();

    metrics.begun();
    metrics.answered(undefined, 'unknown-source');

    expect(await samples('paystream_webhooks_refused_total')).toEqual([
      'paystream_webhooks_refused_total{source="(unknown)",reason="unknown-source"} 1',
    ]);
  });

  test('takes up a source that was added later', async () => {
    const { source, metrics, samples } = counting();

    metrics.begun();
    metrics.answered({ ...source, name: 'added' }, 'stored');

    expect(await samples('paystream_webhooks_total')).toContain(
      'paystream_webhooks_total{source="added",adapter="x-payment",outcome="stored"} 1',
    );
  });
});

test('every word of the broker is counted, and how long it took', async () => {
  const { registry, metrics, samples } = counting();
  const outcomes: PublishOutcome[] = [
    { status: 'stored', id: 'a', sequence: 1, duplicate: false },
    { status: 'stored', id: 'a', sequence: 1, duplicate: true },
    { status: 'unavailable', id: 'a', reason: 'stream-full', detail: '', retryAfterS: 30 },
  ];
  const event = {} as Parameters<Publisher['publish']>[0];

  for (const outcome of outcomes)
    await metrics.watchPublisher({ hasRoom: () => true, publish: async () => outcome }).publish(event);

  expect(await samples('paystream_publishes_total')).toEqual([
    'paystream_publishes_total{outcome="stored"} 1',
    'paystream_publishes_total{outcome="duplicate"} 1',
    'paystream_publishes_total{outcome="stream-full"} 1',
  ]);
  expect(await registry.metrics()).toContain('paystream_publish_duration_seconds_count 3');
});
