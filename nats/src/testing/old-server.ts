import { createServer, type Server, type Socket } from 'node:net';

/** Speaks just enough of the protocol for a client to connect, and says that it is an old nats-server. */
export async function startOldServer(version: string): Promise<{ uri: string; stop: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(`INFO ${JSON.stringify({ version, headers: true, max_payload: 1_048_576, proto: 1 })}\r\n`);
    socket.on('data', (data) => {
      for (const _ping of data.toString().matchAll(/PING\r\n/g)) socket.write('PONG\r\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    uri: `nats://127.0.0.1:${address.port}`,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
