import { txIdSchema } from '@paystream/nats';
import { addToLine, askAgain, type Door, onlyMethods, Problem, parseInput, pause } from '@paystream/runtime';
import type { Express, Response } from 'express';
import { type AnomalyCode, compareEvents } from './domain/transaction.ts';
import { listQuerySchema, transactionQuerySchema } from './schemas.ts';
import type {
  ListFilter,
  PagePosition,
  StoredTransaction,
  TransactionStore,
  TransactionSummary,
} from './store.ts';
import { StoreUnavailable } from './store.ts';

export interface TransactionRoutesOptions {
  door: Door;
  store: TransactionStore;
  /** Aborted when the service stops: whoever waits for a change is answered then. */
  stopping: AbortSignal;
}

// A waiting request looks this often; 100 of them are 500 small reads a second.
const lookEveryMs = 200;
const waitersMax = 100;
// What no index answers as a whole can take the database seconds: a few at one time, and each for a bounded one. Payments are
// written over the same connections.
const listsMax = 4;

/** `GET /transactions/:txId` and `GET /transactions`. */
export function mountTransactions(app: Express, { door, store, stopping }: TransactionRoutesOptions): void {
  let waiters = 0;
  let lists = 0;

  const listed = async (filter: ListFilter) => {
    if (lists >= listsMax) {
      throw askAgain('too-many-requests', `${listsMax} pages are being read already.`, 1);
    }
    lists += 1;
    try {
      return await guarded(
        () => store.listTransactions(filter),
        'The page could not be read in time; ask again, or for less.',
      );
    } finally {
      lists -= 1;
    }
  };

  const untilChanged = async (txId: string, known: string | undefined, waitS: number, res: Response) => {
    const deadline = performance.now() + waitS * 1_000;
    const isWanted = () => performance.now() < deadline && !stopping.aborted && !res.closed;
    const hasChanged = async () => {
      const version = await store.findVersion(txId);
      return version !== undefined && !matches(known, etagOf(version));
    };
    if (waitS === 0 || (await hasChanged())) return;
    if (waiters >= waitersMax) {
      throw askAgain('too-many-requests', `${waitersMax} requests wait for a change already.`, 1);
    }
    waiters += 1;
    try {
      while (isWanted()) {
        await pause(Math.min(lookEveryMs, deadline - performance.now()));
        if (await hasChanged()) return;
      }
    } finally {
      waiters -= 1;
    }
  };

  app.get('/transactions/:txId', door.needs('viewer'), async (req, res) => {
    const txId = parseInput(txIdSchema, req.params.txId, 'txId');
    const { wait } = parseInput(transactionQuerySchema, req.query);
    addToLine(res, { txId });
    const known = req.headers['if-none-match'];
    await guarded(() => untilChanged(txId, known, wait, res));
    const found = await guarded(() => store.findTransaction(txId));
    if (found === undefined) throw new Problem('unknown-transaction', `There is no transaction ${txId}.`);
    const etag = etagOf(found.version);
    res.set({ etag, 'cache-control': 'no-cache' });
    if (matches(known, etag)) res.status(304).end();
    else res.json(transactionBody(found));
  });

  app.get('/transactions', door.needs('viewer'), async (req, res) => {
    const { cursor, from, to, ...query } = parseInput(listQuerySchema, req.query);
    const { items, next } = await listed({
      ...query,
      from: from === undefined ? undefined : new Date(from),
      to: to === undefined ? undefined : new Date(to),
      after: cursor === undefined ? undefined : readCursor(cursor),
    });
    res.set('cache-control', 'no-store');
    res.json({ items: items.map(summaryBody), nextCursor: next === undefined ? null : writeCursor(next) });
  });
  app.all(['/transactions', '/transactions/:txId'], onlyMethods('GET', 'HEAD'));
}

const etagOf = (version: number) => `"${version}"`;

/** Whether `If-None-Match` names this version. A proxy that compresses makes the tag a weak one. */
function matches(known: string | undefined, etag: string): boolean {
  const tags = known?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(etag) || tags.includes('*');
}

/** A database that is away is 503 for whoever asks. */
export async function guarded<T>(
  work: () => Promise<T>,
  detail = 'The record cannot be read now; ask again.',
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    throw askAgain('database-unavailable', detail);
  }
}

function writeCursor({ createdAt, id }: PagePosition): string {
  return Buffer.from(`${createdAt.getTime()}.${id}`).toString('base64url');
}

function readCursor(cursor: string): PagePosition {
  const [, time, id] = /^(\d{1,15})\.([0-9a-f]{24})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (time === undefined || id === undefined) {
    throw new Problem('invalid-parameter', 'cursor must be a nextCursor of an answer', {
      errors: [{ field: 'cursor', message: 'must be a nextCursor of an answer' }],
    });
  }
  return { createdAt: new Date(Number(time)), id };
}

function summaryBody(transaction: TransactionSummary) {
  const { txId, source, status, action, amount, currency, note, amounts, hasNew, anomalies } = transaction;
  const { version, createdAt, updatedAt } = transaction;
  const summary = { txId, source, status, action, amount, currency, note, amounts, hasNew, anomalies };
  return { ...summary, version, createdAt, updatedAt };
}

/** The history stands in fold order, each event with the anomalies it caused. */
function transactionBody(transaction: StoredTransaction) {
  // Both can have ten thousand entries.
  const codesOf = new Map<number, AnomalyCode[]>();
  for (const { n, code } of transaction.anomalies) codesOf.set(n, [...(codesOf.get(n) ?? []), code]);
  const ordered = [...transaction.actionHistory].sort(compareEvents);
  return {
    ...summaryBody(transaction),
    actionHistory: ordered.map((entry) => ({ ...entry, anomalies: codesOf.get(entry.n) ?? [] })),
    conflicts: transaction.conflicts,
  };
}
