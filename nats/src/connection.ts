import { type Log, pause } from '@paystream/runtime';
import { connect, Events, type NatsConnection, type Status } from 'nats';
import { addressesOf, type BrokerAddress, describeBrokerFailure } from './broker-address.ts';
import { atMost } from './waiting.ts';

export interface BrokerState {
  up: boolean;
  /** Why it is down, in words for `/readyz`. */
  detail: string;
}

export interface BrokerConnection {
  /** Replies come to subjects below this one, so that the broker's permissions can keep services apart. */
  inboxPrefix: string;
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

export interface BrokerOptions extends BrokerAddress {
  /** The service's name, as the broker's operator sees it. Also keeps its replies apart from others'. */
  name: string;
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
export function connectBroker(options: BrokerOptions): BrokerConnection {
  const { log } = options;
  const listeners = new Set<(state: BrokerState) => void>();
  const closing = new AbortController();
  let connection: NatsConnection | undefined;
  let state: BrokerState = { up: false, detail: 'not connected yet' };
  let saidAway = '';

  const change = (next: BrokerState) => {
    const flipped = next.up !== state.up;
    state = next;
    if (next.up) log.info({ detail: next.detail }, 'broker.connected');
    else if (closing.signal.aborted) log.info('broker.closed');
    // Each reason once: a wrong password and a broker that is not there look alike from outside.
    else if (flipped || next.detail !== saidAway) log.warn({ detail: next.detail }, 'broker.away');
    saidAway = next.up ? '' : next.detail;
    if (!flipped) return;
    for (const listener of [...listeners]) listener(state);
  };

  const run = async () => {
    while (!closing.signal.aborted) {
      try {
        connection = await open(options);
      } catch (error) {
        change({ up: false, detail: describeBrokerFailure(error, options) });
        await pause(reconnectEveryMs, closing.signal);
        continue;
      }
      // Closed while the connection was being made: nobody else would close this one.
      if (closing.signal.aborted) return connection.close();
      change({ up: true, detail: `connected to ${connection.getServer()}` });
      void follow(connection, { change, log });
      const error = await connection.closed();
      change({ up: false, detail: error ? describeBrokerFailure(error, options) : 'closed' });
    }
  };
  const running = run();

  const broker: BrokerConnection = {
    inboxPrefix: inboxPrefixOf(options.name),
    state: () => state,
    current: () => (state.up ? connection : undefined),
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    whenUp: (signal) => waitUntilUp(broker, signal),
    close: async () => {
      closing.abort();
      if (connection !== undefined && !connection.isClosed()) {
        if (state.up)
          await atMost(
            drainTimeoutMs,
            connection.drain().catch(() => undefined),
          );
        await connection.close();
      }
      await running;
    },
  };
  return broker;
}

const inboxPrefixOf = (name: string) => `_INBOX_${name}`;

function open({ uri, name, user, password, tls }: BrokerOptions): Promise<NatsConnection> {
  return connect({
    servers: addressesOf(uri),
    name,
    inboxPrefix: inboxPrefixOf(name),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(tls === undefined ? {} : { tls }),
    timeout: connectTimeoutMs,
    maxReconnectAttempts: -1,
    reconnectTimeWait: reconnectEveryMs,
    reconnectJitter: 100,
    pingInterval: pingEveryMs,
    maxPingOut: pingsMissedMax,
    // A password that was changed on the broker first must not end the process.
    ignoreAuthErrorAbort: true,
  });
}

interface FollowOptions {
  change: (state: BrokerState) => void;
  log: Log;
}

/** Tells of every loss and return for as long as the connection lives. */
async function follow(connection: NatsConnection, { change, log }: FollowOptions): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === Events.Disconnect) change({ up: false, detail: 'the connection was lost' });
    if (status.type === Events.Reconnect) {
      change({ up: true, detail: `connected to ${connection.getServer()}` });
    }
    const refused = refusedBy(status);
    if (refused !== undefined) log.error({ detail: refused }, 'broker.refused');
  }
}

/** A missing permission is answered to nobody: without this line a pull or an acknowledgement would just be lost. */
function refusedBy({ permissionContext }: Status): string | undefined {
  if (permissionContext === undefined) return undefined;
  const { operation, subject } = permissionContext;
  return `the broker's permissions do not allow to ${operation === 'publish' ? 'publish' : 'subscribe'} ${subject}`;
}

function waitUntilUp(broker: BrokerConnection, signal: AbortSignal): Promise<NatsConnection> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const connection = broker.current();
      if (connection === undefined) return;
      finish();
      resolve(connection);
    };
    const abort = () => {
      finish();
      reject(new Error('stopped while waiting for the broker'));
    };
    const finish = () => {
      stopListening();
      signal.removeEventListener('abort', abort);
    };
    const stopListening = broker.onChange(look);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    else look();
  });
}

class BrokerLost extends Error {
  override name = 'BrokerLost';
}

export const isBrokerLost = (error: unknown): error is Error => error instanceof BrokerLost;

/** The client waits out its timeout when the connection breaks; the caller need not. */
export function untilDown<T>(broker: BrokerConnection, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stopListening = broker.onChange((state) => {
      if (!state.up) reject(new BrokerLost(state.detail));
    });
    work.then(resolve, reject).finally(stopListening);
  });
}
