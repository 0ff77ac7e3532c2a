import { z } from 'zod';
import type { Log } from './log.ts';

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface SpanStart {
  name: string;
  kind: 'server' | 'producer' | 'consumer';
  /** The `traceparent` of what caused it; without one that is valid it begins a trace. */
  parent: string | undefined;
  attributes: Attributes;
  /** Its id, 16 hex characters, where others link to it who have not seen it. */
  spanId?: string | undefined;
  /** The `traceparent` of a span that it belongs to without being caused by it. */
  link?: string | undefined;
}

export interface SpanEnd {
  /** In the place of the first one. */
  name?: string | undefined;
  attributes?: Attributes;
  /** What went wrong, one of few words. */
  error?: string | undefined;
}

export interface Span {
  /** For the header of what comes of it. */
  traceparent: string;
  end(how?: SpanEnd): void;
}

/** Spans that go to a collector. Whoever has none of this does without: `undefined` costs nothing. */
export interface Tracing {
  start(span: SpanStart): Span;
  /** Sends what is left, for as long as a stop has time for it. Never rejects. */
  close(): Promise<void>;
}

/** `key=value` separated by commas, percent-encoded, as the variables of OpenTelemetry have it. */
const listSetting = z
  .string()
  .transform((text, context) => {
    try {
      return Object.fromEntries(text.split(',').map(readPair));
    } catch {
      context.addIssue({ code: 'custom', message: 'must be key=value, several separated by commas' });
      return z.NEVER;
    }
  })
  .optional();

function readPair(pair: string): [string, string] {
  const [, key = '', value = ''] = /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
  if (key === '') throw new Error('not a pair');
  return [decodeURIComponent(key), decodeURIComponent(value)];
}

const ratioRule = 'must be a share from 0 to 1';

/** The settings, under the names that OpenTelemetry gives them. */
export const tracingSettings = {
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'must be an address such as http://127.0.0.1:4318', abort: true })
    .refine((url) => !url.includes('@'), 'must hold no user: use OTEL_EXPORTER_OTLP_HEADERS')
    .optional(),
  OTEL_EXPORTER_OTLP_HEADERS: listSetting,
  OTEL_RESOURCE_ATTRIBUTES: listSetting,
  OTEL_TRACES_SAMPLER: z
    .enum([
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ])
    .default('parentbased_always_on'),
  OTEL_TRACES_SAMPLER_ARG: z
    .string()
    .regex(/^(0|1|0?\.\d{1,9}|1\.0+)$/, ratioRule)
    .default('1')
    .transform(Number),
};
export type TracingSettings = Readonly<z.infer<z.ZodObject<typeof tracingSettings>>>;

export interface TracingOptions {
  settings: TracingSettings;
  service: string;
  log: Log;
}

/** Tracing where an endpoint is set, else nothing: then nothing that makes or sends spans is loaded. */
export async function openTracing(options: TracingOptions): Promise<Tracing | undefined> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint } = options.settings;
  if (endpoint === undefined) return undefined;
  const { createTracing } = await import('./opentelemetry.ts');
  return createTracing({ ...options, endpoint });
}
