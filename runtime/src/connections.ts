import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** A request and its answer, from the first header until the answer is out or the client gone. */
export interface Exchange {
  req: IncomingMessage;
  res: ServerResponse;
}

export interface Connections {
  /** The exchanges in hand on one connection, oldest first; more than one only for a client that pipelines. */
  inHand(socket: Duplex): Exchange[];
  /** Whether there were enough connections already when this one came, all of them in use. */
  isSurplus(socket: Duplex): boolean;
  /** From now on each connection ends with the answer that is in hand or comes next. */
  endAfterAnswer(): void;
  /** Cuts the connections on which no request is in hand. */
  dropQuiet(): void;
}

// In a burst they come faster than their requests are read: those are not silent, it is we who have not looked yet.
const silentAfterMs = 1_000;

/**
 * Knows every connection: Node itself counts one on which nothing was ever sent as busy, and would wait for it. Beyond
 * `max` the one that was quiet for the longest gives way to who comes, so that whoever opens enough and says nothing keeps
 * nobody out; where all are in use, who comes is surplus.
 */
export function trackConnections(server: Server, { max }: { max: number }): Connections {
  const open = new Map<Duplex, Set<Exchange>>();
  // Since when, in the order in which they became so.
  const quiet = new Map<Duplex, number>();
  const surplus = new WeakSet<Duplex>();
  let ending = false;

  const forget = (socket: Duplex) => {
    open.delete(socket);
    quiet.delete(socket);
  };
  const drop = (socket: Duplex) => {
    forget(socket);
    socket.destroy();
  };
  const dropSilent = (): boolean => {
    for (const [socket, since] of quiet) {
      if (performance.now() - since < silentAfterMs) return false;
      drop(socket);
      return true;
    }
    return false;
  };
  server.on('connection', (socket) => {
    if (open.size >= max && !dropSilent()) surplus.add(socket);
    open.set(socket, new Set());
    quiet.set(socket, performance.now());
    socket.once('close', () => {
      const left = open.get(socket) ?? [];
      forget(socket);
      for (const exchange of left) closeUnsent(exchange);
    });
  });
  const track: RequestListener = (req, res) => {
    const { socket } = req;
    const exchange = { req, res };
    open.get(socket)?.add(exchange);
    quiet.delete(socket);
    res.once('close', () => {
      const exchanges = open.get(socket);
      exchanges?.delete(exchange);
      if (exchanges?.size === 0) quiet.set(socket, performance.now());
    });
    if (ending) endWith(exchange);
  };
  // What Node announces as the second is served like any other.
  for (const event of ['request', 'checkExpectation']) server.prependListener(event, track);

  return {
    inHand: (socket) => [...(open.get(socket) ?? [])],
    isSurplus: (socket) => surplus.has(socket),
    endAfterAnswer: () => {
      ending = true;
      for (const exchanges of open.values()) exchanges.forEach(endWith);
    },
    dropQuiet: () => {
      for (const socket of [...quiet.keys()]) drop(socket);
    },
  };
}

/**
 * When a connection breaks, Node closes the answer that was on its way. Of those that wait behind it nobody hears any more:
 * whoever waits for their end would wait for ever. One that was just done with may be closed twice by this.
 */
function closeUnsent({ res }: Exchange): void {
  if (res.socket !== null) return;
  res.destroy();
  res.emit('close');
}

function endWith({ req, res }: Exchange): void {
  if (res.headersSent) res.once('close', () => req.socket.destroySoon());
  else res.setHeader('connection', 'close');
}
