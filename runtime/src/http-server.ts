import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Connections, trackConnections } from './connections.ts';
import type { Log } from './log.ts';
import { Problem, type ProblemCode, problemBody, problems, sendProblem } from './problems.ts';
import { createTurnAway } from './turn-away.ts';

export interface HttpServer {
  /** The port it listens on: the one asked for, or the free one that was found for 0. */
  port: number;
  /** Soon takes no new connection, lets the requests in hand finish for at most `withinMs`, then cuts them. */
  close(withinMs: number): Promise<void>;
}

export interface ListenOptions {
  port: number;
  host: string;
  /** Where it is told how many were turned away. */
  log?: Log;
  /** Connections on which requests are served; one more takes the place of a silent one, or is answered 503. */
  connectionsMax?: number;
  /** How long the headers of a request may take to arrive. */
  headersTimeoutMs?: number;
  /** How long a whole request may take to arrive. */
  requestTimeoutMs?: number;
  /** How long a connection may stay on which nobody asks, or nobody takes the answer. */
  idleTimeoutMs?: number;
}

// A webhook is small and its sender close to a network: who needs longer is broken or holds the line on purpose.
const defaults = {
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  // Longer than the usual load balancers wait (60 s), so that they and not we close an idle line, and than any answer
  // takes to begin (30 s).
  idleTimeoutMs: 65_000,
  // About 25 KB each while they wait for an answer.
  connectionsMax: 5_000,
};
// Node looks at the two above only this often; its default of 30 s would make them worth nothing.
const connectionsCheckEveryMs = 500;
// Who comes on one more gets an answer and is let go; of those that say nothing there may be no end, so the rest is dropped.
const surplusMax = 5_000;
// Connections that the kernel has made and we have not seen yet; over it senders wait for a second and more to be let in.
// Node's own 511 is less than one burst. The kernel's limit (net.core.somaxconn) is 4,096 by default.
const backlogMax = 4_096;
// The kernel holds connections that we have not seen yet, and resets them when we stop listening.
const stillAcceptMs = 250;
// A request that is on its way when we stop still gets its answer; a connection on which nobody speaks is cut.
const quietGraceMs = 1_000;
// After the last word to a client that was refused; without it the client may see a reset and no answer.
const lingerMs = 1_000;

/** Listens, or rejects with the reason (the port is taken, the address is not ours). */
export function listen(handler: RequestListener, options: ListenOptions): Promise<HttpServer> {
  const { port, host, log, headersTimeoutMs, requestTimeoutMs, idleTimeoutMs, connectionsMax } = {
    ...defaults,
    ...options,
  };
  const turnAway = createTurnAway(log);
  const serve: RequestListener = (req, res) =>
    connections.isSurplus(req.socket)
      ? turnAway(req, res.setHeader('connection', 'close'))
      : handler(req, res);
  const server = createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: connectionsCheckEveryMs,
      keepAliveTimeout: idleTimeoutMs,
      maxHeaderSize: 16_384,
      // The app refuses it in our own words; Node would answer without any.
      requireHostHeader: false,
    },
    serve,
  );
  server.maxConnections = connectionsMax + surplusMax;
  // Node has no other limit for who asks and does not read.
  server.timeout = idleTimeoutMs;
  const connections = trackConnections(server, { max: connectionsMax });
  server.on('clientError', (error, socket) => refuse(error, socket, connections));
  // An expectation that is not known may be ignored (RFC 9110, 10.1.1); Node would answer without a word.
  server.on('checkExpectation', serve);
  // We are no proxy. Node would close without a word, and hands the socket over without anyone to hear its errors.
  server.on('connect', (_req, socket) => {
    socket.on('error', () => socket.destroy());
    refuse(new Error('CONNECT is not taken'), socket, connections);
  });
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(inWords(error, { port, host }));
    server.once('error', refuse);
    server.listen(port, host, backlogMax, () => {
      server.off('error', refuse);
      resolve({ port: boundPort(server), close: (withinMs) => close(server, connections, withinMs) });
    });
  });
}

function inWords(error: NodeJS.ErrnoException, { port, host }: { port: number; host: string }): Error {
  if (error.code !== 'EADDRINUSE') return error;
  return new Error(`port ${port} of ${host} is in use: set PORT to a free one`, { cause: error });
}

function boundPort(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function close(server: Server, connections: Connections, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), withinMs);
    const quiet = setTimeout(() => connections.dropQuiet(), quietGraceMs);
    const closed = () => {
      clearTimeout(cut);
      clearTimeout(quiet);
      resolve();
    };
    connections.endAfterAnswer();
    setTimeout(() => server.close(closed), Math.min(stillAcceptMs, withinMs));
  });
}

const clientErrors: Readonly<Record<string, ProblemCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large',
};

/** What Node could not parse, or waited for in vain, is answered with the same kind of document. */
function refuse(error: NodeJS.ErrnoException, socket: Duplex, connections: Connections): void {
  const inHand = connections.inHand(socket);
  const last = inHand.at(-1);
  const code = clientErrors[error.code ?? ''] ?? 'malformed-request';
  const problem = new Problem(code, `${problems[code].title}.`, { headers: { connection: 'close' } });
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
  } else if (last === undefined) {
    writeProblem(socket, problem);
  } else if (last.req.complete) {
    // What cannot be read stands behind whole requests, and those get their own answers first.
    last.res.once('close', () => socket.destroy());
  } else if (last.res.headersSent) {
    socket.destroy();
  } else {
    sendProblem(last.res, problem, String(last.res.getHeader('x-request-id') ?? 'none'));
  }
}

function writeProblem(socket: Duplex, problem: Problem): void {
  const { status } = problems[problem.code];
  const body = JSON.stringify(problemBody(problem, 'none'));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/problem+json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  setTimeout(() => socket.destroy(), lingerMs).unref();
}
