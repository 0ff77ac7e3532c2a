import { describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { z } from 'zod';
import { parseConfig } from './config.ts';
import { openTracing, tracingSettings } from './tracing.ts';

const read = (env: Record<string, string>) => parseConfig(z.object(tracingSettings), env);
const options = { service: 'a-service', log: pino({ level: 'silent' }) };

describe('the settings', () => {
  test('read lists as OpenTelemetry writes them', () => {
    const settings = read({
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20b%2Cc , x = y=z',
      OTEL_RESOURCE_ATTRIBUTES: 'empty=',
    });

    expect(settings.OTEL_EXPORTER_OTLP_HEADERS).toEqual({ 'api-key': 'a b,c', x: 'y=z' });
    expect(settings.OTEL_RESOURCE_ATTRIBUTES).toEqual({ empty: '' });
  });

  test.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', '127.0.0.1:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'ftp://127.0.0.1'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://me:secret@127.0.0.1:4318'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'api-key'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'api-key=%'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'a=b,'],
    ['OTEL_TRACES_SAMPLER', 'sometimes'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.1'],
    ['OTEL_TRACES_SAMPLER_ARG', '-0.5'],
    ['OTEL_TRACES_SAMPLER_ARG', 'all'],
  ])('refuse %s=%s', (name, value) => {
    expect(() => read({ [name]: value })).toThrow(`${name}: `);
  });

  test.each(['0', '1', '1.0', '0.25', '.5'])('take the ratio %s', (ratio) => {
    expect(read({ OTEL_TRACES_SAMPLER_ARG: ratio }).OTEL_TRACES_SAMPLER_ARG).toBe(Number(ratio));
  });
});

describe('a span', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const parentOf = (flags: string) => `00-${traceId}-b7ad6b7169203331-${flags}`;

  const startedBy = async (env: Record<string, string>, parent: string | undefined) => {
    const tracing = await openTracing({ ...options, settings: read({ ...endpoint, ...env }) });
    const span = tracing?.start({ name: 'a', kind: 'server', parent, attributes: {} });
    return span?.traceparent ?? 'none';
  };

  test('is nothing at all without an endpoint', async () => {
    expect(await openTracing({ ...options, settings: read({}) })).toBeUndefined();
  });

  test('goes on with the trace of its parent, under an id of its own', async () => {
    const made = await startedBy({}, parentOf('01'));

    expect(made).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
    expect(made).not.toBe(parentOf('01'));
  });

  test.each([undefined, 'nonsense', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`])(
    'begins a trace with the parent %s',
    async (parent) => {
      const made = await startedBy({}, parent);

      expect(made).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      expect(made).not.toContain(traceId);
    },
  );

  test.each([
    ['parentbased_always_on', '01', '01'],
    ['parentbased_always_on', '00', '00'],
    ['parentbased_always_on', undefined, '01'],
    ['parentbased_always_off', '01', '01'],
    ['parentbased_always_off', undefined, '00'],
    ['parentbased_traceidratio', '01', '01'],
    ['parentbased_traceidratio', undefined, '00'],
    ['always_on', '00', '01'],
    ['always_off', '01', '00'],
    ['traceidratio', '01', '00'],
  ])('with %s and the flag %s has the flag %s', async (sampler, given, flag) => {
    const env = { OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: '0' };

    const made = await startedBy(env, given && parentOf(given));

    expect(made.slice(-2)).toBe(flag);
  });

  test('has the id that it is given, and the next one another', async () => {
    const tracing = await openTracing({ ...options, settings: read(endpoint) });
    const start = { name: 'a', kind: 'consumer', parent: parentOf('01'), attributes: {} } as const;

    const named = tracing?.start({ ...start, spanId: 'aaaaaaaaaaaaaaaa' });
    const next = tracing?.start(start);

    expect(named?.traceparent).toBe(`00-${traceId}-aaaaaaaaaaaaaaaa-01`);
    expect(next?.traceparent).not.toContain('aaaaaaaaaaaaaaaa');
  });
});
