import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { Problem, type ProblemCode, problemBody, problems } from './problems.ts';

export interface HttpServer {
  /** The port it listens on: the one asked for, or the free one that was found for 0. */
  port: number;
  /** Takes no new connection, lets the requests in hand finish for at most `withinMs`, then cuts them. */
  close(withinMs: number): Promise<void>;
}

// A webhook is small and its sender close to a network: who needs longer is broken or holds the line on purpose.
const headersTimeoutMs = 5_000;
const requestTimeoutMs = 10_000;
// Node looks at the two above only this often; its default of 30 s would make them worth nothing.
const connectionsCheckEveryMs = 500;
// Longer than the idle time of the usual load balancers (60 s), so that they and not we close an idle line.
const keepAliveTimeoutMs = 65_000;
const connectionsMax = 5_000;

/** Listens, or rejects with the reason (the port is taken, the address is not ours). */
export function listen(
  handler: RequestListener,
  { port, host }: { port: number; host: string },
): Promise<HttpServer> {
  const server = createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: connectionsCheckEveryMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      maxHeaderSize: 16_384,
    },
    handler,
  );
  server.maxConnections = connectionsMax;
  server.on('clientError', answerClientError);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve({ port: boundPort(server), close: (withinMs) => close(server, withinMs) });
    });
  });
}

function boundPort(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function close(server: Server, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), withinMs);
    // A kept-alive connection is idle only once its last answer is out, so one look is not enough.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    server.close(() => {
      clearTimeout(cut);
      clearInterval(sweep);
      resolve();
    });
  });
}

const clientErrors: Readonly<Record<string, ProblemCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large',
};

/** What Node could not parse never reaches a handler; it is answered with the same kind of document. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = clientErrors[error.code ?? ''] ?? 'malformed-request';
  const { status, title } = problems[code];
  const body = JSON.stringify(problemBody(new Problem(code, `${title}.`), 'none'));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/problem+json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
