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

type Direction = 'to-server' | 'to-client';

/** What a link of a few thousand kilometres has, three times over. */
const latencyMs = 300;
/** What is held for one direction; the sender waits behind it, as it would behind a full pipe. */
const heldMaxBytes = 1_048_576;
const lookEveryMs = 10;

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let weather: Weather = 'fair';
  let spoilt = 0;

  const pass = async (chunk: Buffer, dueAtMs: number, to: Socket, direction: Direction) => {
    // What is on its way when the line goes dead is held too, and is late when it comes back.
    while (weather === 'black-hole' && !to.destroyed) await sleep(lookEveryMs);
    if (weather === `swallow-${direction}`) return;
    if (weather === 'latency') await sleep(Math.max(0, dueAtMs - performance.now()));
    if (weather !== 'slices') {
      to.write(chunk);
      return;
    }
    for (const byte of chunk) {
      if (to.destroyed) return;
      to.write(Buffer.of(byte));
      await nextTurn();
    }
  };
  const forward = (from: Socket, to: Socket, direction: Direction) => {
    let queue = Promise.resolve();
    let heldBytes = 0;
    from.on('data', (chunk: Buffer) => {
      const dueAtMs = performance.now() + latencyMs;
      if (weather !== 'fair') spoilt += chunk.length;
      heldBytes += chunk.length;
      if (heldBytes > heldMaxBytes) from.pause();
      queue = queue.then(async () => {
        await pass(chunk, dueAtMs, to, direction);
        heldBytes -= chunk.length;
        if (heldBytes <= heldMaxBytes) from.resume();
      });
    });
    from.on('end', () => {
      queue = queue.then(() => void to.end());
    });
    from.on('error', () => undefined);
    from.on('close', (hadError) => {
      sockets.delete(from);
      if (hadError) to.destroy();
      else queue = queue.then(() => void to.end());
    });
  };
  const restore = () =>
    new Promise<void>((resolve, reject) => {
      server = createServer({ noDelay: true }, (client) => {
        const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
        for (const socket of [client, target]) sockets.add(socket);
        forward(client, target, 'to-server');
        forward(target, client, 'to-client');
      });
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  const cut = () =>
    new Promise<void>((resolve) => {
      if (server === undefined) return resolve();
      server.close(() => resolve());
      server = undefined;
      spoilt += 1;
      for (const socket of sockets) socket.resetAndDestroy();
    });
  const close = async () => {
    weather = 'fair';
    await cut();
  };

  await restore();
  return {
    port,
    cut,
    restore,
    set: (next) => {
      weather = next;
    },
    spoilt: () => spoilt,
    close,
  };
}
