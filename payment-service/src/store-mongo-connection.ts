import { ConfigError, describeError, type Log, type PartState } from '@paystream/runtime';
import mongoose, { type Connection, type ConnectOptions, type mongo } from 'mongoose';
import { StoreUnavailable } from './store.ts';

const connectOptions: ConnectOptions = {
  // Short enough that an outage is seen within a few seconds, long enough for an election's usual pause.
  serverSelectionTimeoutMS: 2_000,
  // A server that stands still is noticed after both of these; whatever waits for it then fails at once.
  heartbeatFrequencyMS: 2_000,
  connectTimeoutMS: 2_000,
  // For the call that never ends on a server that seems well; the largest batch takes less than a second.
  socketTimeoutMS: 10_000,
  maxPoolSize: 20,
  appName: 'payment-service',
  // An acknowledged write is journaled by a majority, and nothing is read that could still be rolled back. Written
  // out, since an option in MONGO_URI wins over one that is missing here.
  writeConcern: { w: 'majority', j: true },
  readConcern: { level: 'majority' },
  readConcernLevel: 'majority',
  readPreference: 'primary',
  retryWrites: true,
};

// The reason of an outage may alternate (refused, timed out): the log needs it once, and later if it is another.
const sayAgainAfterMs = 30_000;

/** One address, one client for as long as the process lives; the driver itself finds a lost server again. */
export interface MongoLink {
  connection: Connection;
  /** Gives back what it was given; throws once the link is being closed, as every call does in an outage. */
  whileOpen<Thing>(thing: Thing): Thing;
  /** Past mongoose: for what has no model, since nothing but its own store writes it. Throws like `whileOpen`. */
  collection<Stored extends mongo.Document>(name: string): mongo.Collection<Stored>;
  /**
   * Makes an index with the first call that reaches the database. For those that nothing relies on but speed and tidiness: one
   * that is refused, such as one that is there with other options, is told as an error, and tried again at the next start.
   */
  indexOnce(create: () => Promise<unknown>): () => Promise<void>;
  /**
   * Connects, finds the primary of a replica set and does the work that must come first, and from then on follows
   * the primary's coming and going. Rejects when that fails now; to be called again until it does not.
   */
  open(first: () => Promise<void>): Promise<void>;
  /** Rejects while nothing can be written. */
  requirePrimary(): Promise<void>;
  state(): PartState;
  /** Calls back whenever the connection finds that nothing can be written any more. */
  onAway(listener: () => void): void;
  close(): Promise<void>;
}

/** Throws a ConfigError when the address cannot be understood: waiting would not mend it. */
export function createMongoLink({ uri, log }: { uri: string; log: Log }): MongoLink {
  try {
    new mongoose.mongo.MongoClient(uri);
  } catch (error) {
    throw new ConfigError([`MONGO_URI: ${describeError(error)}`]);
  }
  const connection = mongoose.createConnection();
  let opened = false;
  let closing = false;
  let state: PartState = { ok: false, detail: 'not connected yet' };
  let saidAt = Number.NEGATIVE_INFINITY;
  const awayListeners: (() => void)[] = [];

  const change = (next: PartState) => {
    if (closing) return;
    const otherReason = next.detail !== state.detail && performance.now() - saidAt > sayAgainAfterMs;
    const isLoss = state.ok && !next.ok;
    const isNews = next.ok !== state.ok || otherReason;
    state = next;
    if (isNews) {
      saidAt = performance.now();
      const level = next.ok ? 'info' : 'warn';
      log[level]({ detail: next.detail }, next.ok ? 'database.connected' : 'database.away');
    }
    if (isLoss) for (const listener of awayListeners) listener();
  };
  // A second openUri would make a second client beside the first.
  const openOnce = async () => {
    if (opened) return;
    await connection.openUri(uri, connectOptions);
    opened = true;
  };
  // While the driver closes, it still sends what is begun, and then nothing ends the wait for an answer.
  const whileOpen = <Thing>(thing: Thing): Thing => {
    if (closing) throw new mongoose.mongo.MongoNotConnectedError('the connection is being closed');
    return thing;
  };
  const follow = () =>
    connection.getClient().on('topologyDescriptionChanged', ({ newDescription }) => {
      change(stateOf([...newDescription.servers.values()]));
    });

  return {
    connection,
    whileOpen,
    collection: (name) => whileOpen(connection).getClient().db(connection.name).collection(name),
    indexOnce: (create) => {
      let isSettled = false;
      return async () => {
        if (isSettled) return;
        try {
          await create();
        } catch (error) {
          if (isOutage(error)) throw error;
          log.error({ detail: describeError(error) }, 'database.index-refused');
        }
        isSettled = true;
      };
    },
    open: async (first) => {
      try {
        await openOnce();
        await requirePrimary(whileOpen(connection));
        await first();
        change({ ok: true, detail: 'connected' });
        follow();
      } catch (error) {
        change({ ok: false, detail: describeFailure(error) });
        throw error;
      }
    },
    requirePrimary: async () => requirePrimary(whileOpen(connection)),
    state: () => state,
    onAway: (listener) => void awayListeners.push(listener),
    close: async () => {
      closing = true;
      await connection.close();
    },
  };
}

type Servers = readonly { isWritable: boolean; error: Error | null }[];

function stateOf(servers: Servers): PartState {
  if (servers.some((server) => server.isWritable)) return { ok: true, detail: 'connected' };
  const reason = servers.find((server) => server.error !== null)?.error?.message;
  return { ok: false, detail: reason ?? 'the replica set has no primary' };
}

/** On a standalone mongod a write is not retried and an acknowledged one can be lost. */
async function requirePrimary(connection: Connection): Promise<void> {
  const hello = await connection.db?.admin().command({ hello: 1 });
  if (hello === undefined) throw new Error('not connected');
  if (hello.setName === undefined && hello.msg !== 'isdbgrid') {
    throw new Error('MongoDB must run as a replica set (of one node at least); see README');
  }
  if (hello.isWritablePrimary !== true) throw new Error('the replica set has no primary');
}

/** The driver says what it saw; what to do about it is ours to say. */
function describeFailure(error: unknown): string {
  const message = describeError(error);
  const [, hint] = hints.find(([seen]) => seen.test(message)) ?? [];
  return hint === undefined ? message : `${message}; ${hint}`;
}

const hints: readonly [RegExp, string][] = [
  // It leaves out a server that is no member of the replica set asked for, and then only says that time is over.
  [/^Server selection timed out/, 'nobody there is a member of the replica set that MONGO_URI names'],
  [
    /self.signed certificate|unable to (verify|get)/i,
    'name the CA that signed the certificate of the database in MONGO_URI: tlsCAFile=<its file>',
  ],
  [/certificate's altnames/, 'name the database in MONGO_URI as its certificate does'],
  [/certificate has expired/, 'renew the certificate of the database'],
  [/^connection .* closed$/, 'where the database asks for TLS, say tls=true in MONGO_URI'],
  [/not authorized|requires authentication/, 'payment-service/mongo/user.js makes a user with the rights'],
  [/^Authentication failed/, 'look at user, password and authSource in MONGO_URI'],
];

/** Whether the error says that the database is away or that the outcome is unknown, and nothing about the change. */
export function isOutage(error: unknown): boolean {
  const { MongoBulkWriteError, MongoError, MongoInvalidArgumentError, MongoServerError } = mongoose.mongo;
  if (error instanceof MongoBulkWriteError) {
    if (error.result.getWriteConcernError() !== undefined) return true;
    // The error has the code of the first alone, which may be somebody else's insert.
    if ([error.writeErrors].flat().some(({ code }) => outageCodes.has(code))) return true;
  }
  if (error instanceof MongoServerError) {
    // A bulk write that was cut off in the network has the form of a server's error, but no code.
    if (typeof error.code !== 'number' || outageCodes.has(error.code)) return true;
    return outageLabels.some((label) => error.hasErrorLabel(label));
  }
  // What the driver refuses to send is refused for what it is; its other errors are about the connection.
  if (error instanceof MongoError) return !(error instanceof MongoInvalidArgumentError);
  // mongoose's word for "not connected". Its errors about a query or a value have names of their own.
  return error instanceof mongoose.MongooseError && error.name === 'MongooseError';
}

const outageLabels = ['RetryableWriteError', 'RetryableError', 'TransientTransactionError', 'ResetPool'];

// Not primary, shutting down, interrupted, out of time, no majority, no right to do it, no space left, writes blocked for
// users (371), the limit of a hosted one (8000).
const outageCodes: ReadonlySet<number> = new Set([
  6, 7, 13, 18, 24, 43, 50, 63, 64, 79, 89, 91, 100, 112, 133, 134, 150, 189, 262, 371, 391, 8000, 9001,
  10_058, 10_107, 11_600, 11_601, 11_602, 13_388, 13_435, 13_436, 14_031,
]);

/** What the server calls it when a unique index has that key already. */
export const duplicateKey = 11_000;

/** Whether a document with that key was there already: somebody else was first. */
export const isDuplicateKey = (error: unknown) =>
  error instanceof mongoose.mongo.MongoServerError && error.code === duplicateKey;

/** Whatever the server says against a statement, and an outage. */
export const isRefusal = (error: unknown): boolean =>
  error instanceof mongoose.mongo.MongoServerError || isOutage(error);

/** Tells an outage from an error about the work itself. */
export async function guarded<T>(
  work: () => Promise<T>,
  isAway: (error: unknown) => boolean = isOutage,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isAway(error)) throw error;
    throw new StoreUnavailable('the database is away', { cause: error });
  }
}

/**
 * For statements that are always the same but for ids and times: whatever the server says against one is about the server,
 * so it is waited for, and the process does not end of it.
 */
export const waited = <T>(work: () => Promise<T>): Promise<T> => guarded(work, isRefusal);
