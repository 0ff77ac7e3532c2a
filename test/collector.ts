import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as a collector is told of it. */
export interface SeenSpan {
  service: string;
  name: string;
  kind: number;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  /** 2 where it failed. */
  status: number;
}

export interface Collector {
  url: string;
  spans: SeenSpan[];
  /** The headers of the last request. */
  headers(): Record<string, unknown>;
  close(): Promise<void>;
}

interface KeyValue {
  key: string;
  value: Record<string, unknown>;
}

/** What takes OTLP as JSON over HTTP, and keeps it. */
export async function startCollector(): Promise<Collector> {
  const spans: SeenSpan[] = [];
  let headers: Record<string, unknown> = {};
  const server = createServer(async (req, res) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of req) chunks.push(chunk);
    headers = req.headers;
    if (req.method !== 'POST' || req.url !== '/v1/traces') return void res.writeHead(404).end();
    spans.push(...spansIn(JSON.parse(Buffer.concat(chunks).toString())));
    res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    headers: () => headers,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the wire format, of which the tests assert what they need
function spansIn(body: any): SeenSpan[] {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  return body.resourceSpans.flatMap(({ resource, scopeSpans }: any) => {
    const service = String(toRecord(resource.attributes)['service.name']);
    // biome-ignore lint/suspicious/noExplicitAny: as above
    const all = scopeSpans.flatMap((scope: any) => scope.spans);
    // biome-ignore lint/suspicious/noExplicitAny: as above
    return all.map(({ name, kind, traceId, spanId, parentSpanId, attributes, links, status }: any) => ({
      service,
      name,
      kind,
      traceId,
      spanId,
      parentSpanId: parentSpanId || undefined,
      attributes: toRecord(attributes),
      links: (links ?? []).map(({ traceId: of, spanId: to }: SeenSpan) => ({ traceId: of, spanId: to })),
      status: status?.code ?? 0,
    }));
  });
}

function toRecord(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [kind, said] = Object.entries(value)[0] ?? [];
      return [key, kind === 'intValue' ? Number(said) : said];
    }),
  );
}
