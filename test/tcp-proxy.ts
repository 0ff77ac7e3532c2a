import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '@paystream/local';

/** Stands between a service and a server, to take the connection away while both live. */
export interface TcpProxy {
  port: number;
  /** Breaks every connection and takes no new one. */
  cut(): Promise<void>;
  restore(): Promise<void>;
  close(): Promise<void>;
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let server: Server | undefined;

  const follow = (socket: Socket, peer: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      peer.destroy();
    });
  };
  const restore = () =>
    new Promise<void>((resolve, reject) => {
      server = createServer((client) => {
        const target = connect(targetPort, '127.0.0.1');
        client.setNoDelay(true);
        target.setNoDelay(true);
        follow(client, target);
        follow(target, client);
        client.pipe(target);
        target.pipe(client);
      });
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  const cut = () =>
    new Promise<void>((resolve) => {
      if (server === undefined) return resolve();
      server.close(() => resolve());
      server = undefined;
      for (const socket of sockets) socket.destroy();
    });

  await restore();
  return { port, cut, restore, close: cut };
}
