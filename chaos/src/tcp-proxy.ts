import { connect, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@paystream/local';

/** What the proxy does to what passes. `to-server` and `to-client` swallow what goes that way. */
export type Weather =
  | 'fair'
  | 'black-hole'
  | 'slices'
  | 'latency'
  | 'swallow-to-server'
  | 'swallow-to-client';

/** Stands between a client and a server, to take the connection away, or to spoil it, while both live. */
export interface TcpProxy {
  port: number;
  /** Breaks every connection and takes no new one. */
  cut(): Promise<void>;
  restore(): Promise<void>;
  /** For every connection, open or to come, from now on. In fair weather what was held goes on its way. */
  set(weather: Weather): void;
  /** Bytes that met the weather, and connections that were cut, since the start. */
  spoilt(): number;
  close(): Promise<void>;
}

/** What a link of a few thousand kilometres has, three times over. */
const latencyMs = 300;
/** What is held for one direction; the sender waits behind it, as it would behind a full pipe. */
const heldMaxBytes = 1_048_576;
const lookEveryMs = 10;

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  const sky: Sky = { weather: 'fair', spoilt: 0 };
  let server: Server | undefined;

  const restore = () =>
    new Promise<void>((resolve, reject) => {
      server = createServer({ noDelay: true }, (client) => {
        const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
        for (const socket of [client, target]) {
          sockets.add(socket);
          socket.on('close', () => sockets.delete(socket));
        }
        forward(sky, { from: client, to: target, direction: 'to-server' });
        forward(sky, { from: target, to: client, direction: 'to-client' });
      });
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  const cut = () =>
    new Promise<void>((resolve) => {
      if (server === undefined) return resolve();
      server.close(() => resolve());
      server = undefined;
      sky.spoilt += Math.ceil(sockets.size / 2);
      for (const socket of sockets) socket.resetAndDestroy();
    });

  await restore();
  return {
    port,
    cut,
    restore,
    set: (weather) => {
      sky.weather = weather;
    },
    spoilt: () => sky.spoilt,
    close: async () => {
      sky.weather = 'fair';
      await cut();
    },
  };
}

/** What holds for every connection of a link. */
interface Sky {
  weather: Weather;
  spoilt: number;
}

interface Way {
  from: Socket;
  to: Socket;
  direction: 'to-server' | 'to-client';
}

/** Passes on what comes, piece by piece and in order, as the weather allows. */
function forward(sky: Sky, { from, to, direction }: Way): void {
  let queue = Promise.resolve();
  let heldBytes = 0;
  from.on('data', (chunk: Buffer) => {
    const dueAtMs = performance.now() + latencyMs;
    if (sky.weather !== 'fair') sky.spoilt += chunk.length;
    heldBytes += chunk.length;
    if (heldBytes > heldMaxBytes) from.pause();
    queue = queue.then(async () => {
      await pass(sky, { to, direction, chunk, dueAtMs });
      heldBytes -= chunk.length;
      if (heldBytes <= heldMaxBytes) from.resume();
    });
  });
  const end = () => {
    queue = queue.then(() => void to.end());
  };
  from.on('end', end);
  from.on('error', () => undefined);
  from.on('close', (hadError) => (hadError ? void to.destroy() : end()));
}

interface Piece extends Omit<Way, 'from'> {
  chunk: Buffer;
  dueAtMs: number;
}

async function pass(sky: Sky, { to, direction, chunk, dueAtMs }: Piece): Promise<void> {
  // What is on its way when the line goes dead is held too, and is late when it comes back.
  while (sky.weather === 'black-hole' && !to.destroyed) await sleep(lookEveryMs);
  if (sky.weather === `swallow-${direction}`) return;
  if (sky.weather === 'latency') await sleep(Math.max(0, dueAtMs - performance.now()));
  if (sky.weather !== 'slices') {
    to.write(chunk);
    return;
  }
  for (const byte of chunk) {
    if (to.destroyed) return;
    to.write(Buffer.of(byte));
    await nextTurn();
  }
}
