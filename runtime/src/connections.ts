import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** A request and its answer, from the first header until the answer is out or the client gone. */
export interface Exchange {
  req: IncomingMessage;
  res: ServerResponse;
}

export interface Connections {
  /** The exchanges in hand on one connection, oldest first; more than one only for a client that pipelines. */
  inHand(socket: Duplex): Exchange[];
  /** From now on each connection ends with the answer that is in hand or comes next. */
  endAfterAnswer(): void;
  /** Cuts the connections on which no request is in hand. */
  dropQuiet(): void;
}

/**
 * Knows every connection: Node itself counts one on which nothing was ever sent as busy, and would wait for it. Beyond
 * `max` the one that was quiet for the longest gives way: Node would turn away who comes, and so whoever opens enough and
 * says nothing would keep everybody out.
 */
export function trackConnections(server: Server, { max }: { max: number }): Connections {
  // Those that are quiet stand in the order in which they became so.
  const open = new Map<Duplex, Set<Exchange>>();
  let ending = false;

  const drop = (socket: Duplex) => {
    open.delete(socket);
    socket.destroy();
  };
  const dropQuietest = () => {
    for (const [socket, exchanges] of open) if (exchanges.size === 0) return drop(socket);
  };
  server.on('connection', (socket) => {
    open.set(socket, new Set());
    socket.once('close', () => open.delete(socket));
    if (open.size > max) dropQuietest();
  });
  server.prependListener('request', (req, res) => {
    const exchange = { req, res };
    open.get(req.socket)?.add(exchange);
    res.once('close', () => {
      const exchanges = open.get(req.socket);
      exchanges?.delete(exchange);
      if (exchanges?.size === 0) {
        open.delete(req.socket);
        open.set(req.socket, exchanges);
      }
    });
    if (ending) endWith(exchange);
  });

  return {
    inHand: (socket) => [...(open.get(socket) ?? [])],
    endAfterAnswer: () => {
      ending = true;
      for (const exchanges of open.values()) exchanges.forEach(endWith);
    },
    dropQuiet: () => {
      for (const [socket, exchanges] of [...open]) if (exchanges.size === 0) drop(socket);
    },
  };
}

function endWith({ req, res }: Exchange): void {
  if (res.headersSent) res.once('close', () => req.socket.destroySoon());
  else res.setHeader('connection', 'close');
}
