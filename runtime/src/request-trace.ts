import type { IncomingMessage } from 'node:http';
import { newTrace, parseTraceparent, traceIdOf, writeTraceparent } from './traceparent.ts';
import type { Tracing } from './tracing.ts';

/** The trace of one request: the sender's where it says one, else a new one. */
export interface RequestTrace {
  traceparent: string;
  traceId: string | undefined;
  end(how: { status: number | undefined; route: string | undefined }): void;
}

// What the conventions of OpenTelemetry know; anything else would make names without end.
const knownMethods: ReadonlySet<string> = new Set(
  'CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE'.split(' '),
);

/** Begins the server span of a request, where there is tracing, or else only reads or makes its `traceparent`. */
export function beginRequestTrace(
  { method = '', headers, httpVersion, socket }: IncomingMessage,
  { path, tracing }: { path: string; tracing: Tracing | undefined },
): RequestTrace {
  const given = parseTraceparent(headers.traceparent);
  if (tracing === undefined) {
    const trace = given ?? newTrace();
    return { traceparent: writeTraceparent(trace), traceId: trace.traceId, end: nothing };
  }
  const verb = knownMethods.has(method) ? method : '_OTHER';
  const span = tracing.start({
    name: verb,
    kind: 'server',
    parent: given && writeTraceparent(given),
    attributes: {
      'http.request.method': verb,
      'url.path': path.slice(0, 200),
      'url.scheme': 'encrypted' in socket ? 'https' : 'http',
      'network.protocol.version': httpVersion,
      'client.address': socket.remoteAddress,
      'user_agent.original': headers['user-agent']?.slice(0, 200),
    },
  });
  return {
    traceparent: span.traceparent,
    traceId: traceIdOf(span.traceparent),
    end: ({ status, route }) =>
      span.end({
        name: route && `${verb} ${route}`,
        attributes: { 'http.response.status_code': status, 'http.route': route },
        error: errorOf(status),
      }),
  };
}

/** A sender that is refused is no error of ours. */
function errorOf(status: number | undefined): string | undefined {
  if (status === undefined) return 'aborted';
  return status >= 500 ? String(status) : undefined;
}

function nothing(): void {}
