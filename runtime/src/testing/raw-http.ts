import { connect } from 'node:net';

export interface RawAnswer {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the body is what the test asserts
  json: any;
}

export interface RawConnection {
  write(text: string | Uint8Array): void;
  /** What has come so far. */
  received(): string;
  /** Resolves with all that came, when the server or `cut` has closed the connection. */
  closed: Promise<string>;
  /** Reads no more, so that what is answered waits in the line. */
  pause(): void;
  /** Says no more, and goes on listening. */
  end(): void;
  /** Resets the connection, as a client that died does. */
  cut(): void;
}

/** A connection on which a test says what it likes, also what no HTTP client would. */
export function openRaw(port: number): RawConnection {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk) => {
    received += chunk;
  });
  // A reset is one of the ways in which a server may close.
  socket.on('error', () => {});
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(received)));
  return {
    write: (text) => void socket.write(text),
    received: () => received,
    closed,
    pause: () => void socket.pause(),
    end: () => void socket.end(),
    cut: () => void socket.resetAndDestroy(),
  };
}

/** Whether nobody listens on the port any more. */
export function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(true));
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
  });
}

/** Sends the bytes and reads until the server closes: say `connection: close` where it would not. */
export async function sendRaw(port: number, ...parts: (string | Uint8Array)[]): Promise<RawAnswer> {
  const connection = openRaw(port);
  for (const part of parts) connection.write(part);
  return parseAnswer(await connection.closed);
}

/** The first answer in the text, behind any 100 Continue; status 0 when there is none. */
export function parseAnswer(received: string): RawAnswer {
  const [head = '', ...rest] = received.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, '').split('\r\n\r\n');
  const [statusLine = '', ...headerLines] = head.split('\r\n');
  const headers = new Headers(
    headerLines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const text = rest.join('\r\n\r\n');
  const json =
    (headers.get('content-type') ?? '').includes('json') && text !== '' ? JSON.parse(text) : undefined;
  return { status: Number(statusLine.split(' ')[1] ?? 0), headers, text, json };
}
