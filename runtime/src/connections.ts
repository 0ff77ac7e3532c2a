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
  /** Whether there were enough connections already when this one came. */
  isSurplus(socket: Duplex): boolean;
  /** From now on each connection ends with the answer that is in hand or comes next. */
  endAfterAnswer(): void;
  /** Cuts the connections on which no request is in hand. */
  dropQuiet(): void;
}

/** Knows every connection: Node itself counts one on which nothing was ever sent as busy, and would wait for it. */
export function trackConnections(server: Server, connectionsMax: number): Connections {
  const open = new Map<Duplex, Set<Exchange>>();
  const surplus = new WeakSet<Duplex>();
  let ending = false;

  server.on('connection', (socket) => {
    if (open.size >= connectionsMax) surplus.add(socket);
    open.set(socket, new Set());
    socket.once('close', () => open.delete(socket));
  });
  server.prependListener('request', (req, res) => {
    const exchange = { req, res };
    open.get(req.socket)?.add(exchange);
    res.once('close', () => open.get(req.socket)?.delete(exchange));
    if (ending) endWith(exchange);
  });

  return {
    inHand: (socket) => [...(open.get(socket) ?? [])],
    isSurplus: (socket) => surplus.has(socket),
    endAfterAnswer: () => {
      ending = true;
      for (const exchanges of open.values()) exchanges.forEach(endWith);
    },
    dropQuiet: () => {
      for (const [socket, exchanges] of open) if (exchanges.size === 0) socket.destroy();
    },
  };
}

function endWith({ req, res }: Exchange): void {
  if (res.headersSent) res.once('close', () => req.socket.destroySoon());
  else res.setHeader('connection', 'close');
}
