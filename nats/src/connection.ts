import type { Log } from '@paystream/runtime';
import { connect, Events, type NatsConnection } from 'nats';

export interface BrokerState {
  up: boolean;
  /** Why it is down, in words for `/readyz`. */
  detail: string;
}

export interface BrokerConnection {
  state(): BrokerState;
  /** The live connection, or undefined while there is none. */
  current(): NatsConnection | undefined;
  /** Calls back on every change between up and down. Returns the function that ends it. */
  onChange(listener: (state: BrokerState) => void): () => void;
  /** Resolves when the broker is there; rejects when the signal is aborted first. */
  whenUp(signal: AbortSignal): Promise<NatsConnection>;
  /** Sends what is still in the local buffer, acknowledgements above all, and closes. */
  close(): Promise<void>;
}

export interface BrokerOptions {
  /** One or more addresses, separated by commas. */
  uri: string;
  /** The service's name, as the broker's operator sees it. Also keeps its replies apart from others'. */
  name: string;
  user?: string | undefined;
  password?: string | undefined;
  log: Log;
}

// The client's own defaults give up after 20 s and notice a silent link after minutes: wrong for a daemon.
const reconnectEveryMs = 250;
const connectTimeoutMs = 2_000;
const pingEveryMs = 2_500;
const pingsMissedMax = 2;
const drainTimeoutMs = 2_000;

/**
 * The one way to the broker: connects for ever, before the broker is there and after every loss, and tells
 * whether it is there now. Nothing waits in a buffer for it: what cannot be sent now is the caller's decision.
 */
export function connectBroker({ uri, name, user, password, log }: BrokerOptions): BrokerConnection {
  const listeners = new Set<(state: BrokerState) => void>();
  let connection: NatsConnection | undefined;
  let state: BrokerState = { up: false, detail: 'not connected yet' };
  const closing = new AbortController();

  const change = (next: BrokerState) => {
    if (next.up === state.up && next.detail === state.detail) return;
    const flipped = next.up !== state.up;
    state = next;
    if (!flipped) return;
    log[next.up ? 'info' : 'warn']({ detail: next.detail }, next.up ? 'broker.connected' : 'broker.lost');
    for (const listener of listeners) listener(state);
  };

  const open = () =>
    connect({
      servers: uri.split(',').map((server) => server.trim()),
      name,
      inboxPrefix: `_INBOX_${name}`,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { pass: password }),
      timeout: connectTimeoutMs,
      maxReconnectAttempts: -1,
      reconnectTimeWait: reconnectEveryMs,
      reconnectJitter: 100,
      pingInterval: pingEveryMs,
      maxPingOut: pingsMissedMax,
      // A password that was changed on the broker first must not end the process.
      ignoreAuthErrorAbort: true,
    });

  const run = async () => {
    while (!closing.signal.aborted) {
      try {
        connection = await open();
      } catch (error) {
        change({ up: false, detail: describe(error) });
        await pause(reconnectEveryMs, closing.signal);
        continue;
      }
      change({ up: true, detail: `connected to ${connection.getServer()}` });
      void follow(connection, change);
      const error = await connection.closed();
      change({ up: false, detail: error ? describe(error) : 'closed' });
    }
  };
  const running = run();

  return {
    state: () => state,
    current: () => (state.up ? connection : undefined),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    whenUp: (signal) =>
      new Promise((resolve, reject) => {
        const settle = () => {
          if (!state.up || connection === undefined) return;
          finish();
          resolve(connection);
        };
        const abort = () => {
          finish();
          reject(new Error('stopped while waiting for the broker'));
        };
        const finish = () => {
          listeners.delete(settle);
          signal.removeEventListener('abort', abort);
        };
        listeners.add(settle);
        signal.addEventListener('abort', abort);
        if (signal.aborted) abort();
        else settle();
      }),
    close: async () => {
      closing.abort();
      if (connection !== undefined && !connection.isClosed()) {
        const drained = state.up ? connection.drain().catch(() => undefined) : Promise.resolve();
        await Promise.race([drained, pause(drainTimeoutMs)]);
        await connection.close();
      }
      await running;
    },
  };
}

async function follow(connection: NatsConnection, change: (state: BrokerState) => void): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === Events.Disconnect) change({ up: false, detail: 'the connection was lost' });
    if (status.type === Events.Reconnect)
      change({ up: true, detail: `connected to ${connection.getServer()}` });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}
