import { createServer } from 'node:net';
import { codeOf } from '../setup/errors.js';

/** A port of the loopback address that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const { port } = await listenOnce(0);
  return port;
}

/** Why the port cannot be listened on, or undefined when it can. */
export async function portProblem(port: number): Promise<'in use' | 'not allowed' | undefined> {
  try {
    await listenOnce(port);
    return undefined;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EADDRINUSE') return 'in use';
    if (code === 'EACCES') return 'not allowed';
    throw error;
  }
}

function listenOnce(port: number): Promise<{ port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port }, () => {
      const address = server.address();
      server.close(() => resolve({ port: typeof address === 'object' && address ? address.port : port }));
    });
  });
}
