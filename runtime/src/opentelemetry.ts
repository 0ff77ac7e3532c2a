import { randomUUID } from 'node:crypto';
import {
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  RandomIdGenerator,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Log } from './log.ts';
import { describeError, pause } from './pause.ts';
import { parseTraceparent, writeTraceparent } from './traceparent.ts';
import type { Span, SpanStart, Tracing, TracingOptions, TracingSettings } from './tracing.ts';

// What waits for a collector, about 2 KB each; over it spans are dropped.
const waitingMax = 4_096;
// Written as JSON in one go: so many take about 2 ms, in which nothing else is done.
const togetherMax = 128;
const sendEveryMs = 1_000;
// A stop has 8 s for everything but the log; who has not taken the rest by then does without.
const flushWithinMs = 1_000;
const tellEveryMs = 60_000;
// The library's word for success, which stands in another package.
const exported = 0;

/**
 * Sends spans to the endpoint in the background. One that is away, slow or wrong costs memory up to a limit, a line in
 * the log a minute, and nothing else. The only file that knows OpenTelemetry.
 */
export function createTracing({
  settings,
  endpoint,
  service,
  log,
}: TracingOptions & { endpoint: string }): Tracing {
  const { ids, nextSpanId } = createIds();
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
    headers: settings.OTEL_EXPORTER_OTLP_HEADERS ?? {},
    // A stop sends all that waits at once, besides the one on its way.
    concurrencyLimit: waitingMax / togetherMax + 1,
  });
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': service,
        'service.namespace': 'paystream',
        'service.instance.id': randomUUID(),
        ...settings.OTEL_RESOURCE_ATTRIBUTES,
      }),
    ),
    sampler: samplerOf(settings),
    idGenerator: ids,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: quietly({ exporter, log }),
        maxQueueSize: waitingMax,
        maxExportBatchSize: togetherMax,
        scheduledDelayMillis: sendEveryMs,
      }),
    ],
  });
  const tracer = provider.getTracer('paystream');

  const start = ({ name, kind, parent, attributes, spanId, link }: SpanStart): Span => {
    const cause = contextOf(parent);
    const linked = contextOf(link);
    nextSpanId(spanId);
    const span = tracer.startSpan(
      name,
      { kind: kinds[kind], links: linked === undefined ? [] : [{ context: linked }] },
      cause === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, cause),
    );
    // Unlike at the start, what is undefined is left out here.
    span.setAttributes(attributes);
    const { traceFlags, ...own } = span.spanContext();
    const sampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
    return {
      traceparent: writeTraceparent({ ...own, sampled }),
      end: ({ name: better, attributes: more = {}, error } = {}) => {
        if (better !== undefined) span.updateName(better);
        span.setAttributes(more);
        if (error !== undefined) {
          span.setAttribute('error.type', error);
          span.setStatus({ code: SpanStatusCode.ERROR });
        }
        span.end();
      },
    };
  };

  return {
    start,
    close: async () => {
      const over = new AbortController();
      const flushed = provider.shutdown().catch(() => undefined);
      await Promise.race([flushed, pause(flushWithinMs, over.signal)]);
      over.abort();
    },
  };
}

const kinds = {
  server: SpanKind.SERVER,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

function contextOf(traceparent: string | undefined): SpanContext | undefined {
  const parsed = parseTraceparent(traceparent);
  if (parsed === undefined) return undefined;
  const { sampled, ...ids } = parsed;
  return { ...ids, traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE, isRemote: true };
}

/** Random ids, but for a span of which the id is given: the library asks for it while that span is started. */
function createIds(): { ids: IdGenerator; nextSpanId: (id: string | undefined) => void } {
  const random = new RandomIdGenerator();
  let given: string | undefined;
  return {
    ids: {
      generateTraceId: () => random.generateTraceId(),
      generateSpanId: () => given ?? random.generateSpanId(),
    },
    nextSpanId: (id) => {
      given = id;
    },
  };
}

function samplerOf({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: ratio }: TracingSettings): Sampler {
  switch (name) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
    default:
      return name satisfies never;
  }
}

/** Tells at most once a minute that spans were not taken, and how many since. */
export function quietly({
  exporter,
  log,
  clock = () => performance.now(),
}: {
  exporter: SpanExporter;
  log: Pick<Log, 'warn'>;
  clock?: () => number;
}): SpanExporter {
  let toldAt = Number.NEGATIVE_INFINITY;
  let lost = 0;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.code !== exported) {
          lost += spans.length;
          if (clock() - toldAt >= tellEveryMs) {
            log.warn({ spans: lost, detail: describeError(result.error) }, 'traces.not-taken');
            toldAt = clock();
            lost = 0;
          }
        }
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
}
