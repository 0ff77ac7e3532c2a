import { sumMinor } from './money.ts';

/** One recorded fact. Everything that a transaction says of itself is derived from its list of these. */
export interface RecordedEvent {
  /** Place in the order of arrival: 1, 2, … */
  n: number;
  eventId: string;
  action: Action;
  /** Minor units. */
  amount: number;
  note: string;
  source: string;
  currency?: string | undefined;
  /** Which capture, refund or dispute a money event is about; the transaction itself where it is not said. */
  reference?: string | undefined;
  /** The source's time, else the broker's time of first storing. */
  at: Date;
  /** The broker's sequence; settles the order of two events of one millisecond. */
  sequence: number;
}

export type Action =
  | 'NEW'
  | 'DRAFT'
  | 'UPDATE'
  | 'APPROVED'
  | 'AUTHORIZED'
  | 'DECLINED'
  | 'CAPTURED'
  | 'CANCELED'
  | 'REFUNDED'
  | 'DISPUTED';

export type Status =
  | 'new'
  | 'draft'
  | 'updated'
  | 'declined'
  | 'authorized'
  | 'canceled'
  | 'approved'
  | 'partially_refunded'
  | 'refunded';

export type AnomalyCode =
  | 'second-new'
  | 'after-approved'
  | 'approved-again'
  | 'canceled-after-capture'
  | 'over-captured'
  | 'over-refunded'
  | 'currency-changed'
  | 'amount-overflow';

export interface Anomaly {
  n: number;
  code: AnomalyCode;
}

/** Sums over references, minor units. */
export interface Amounts {
  authorized: number;
  captured: number;
  refunded: number;
  disputed: number;
}

export interface TransactionState {
  source: string;
  status: Status;
  action: Action;
  amount: number;
  note: string;
  currency?: string;
  amounts: Amounts;
  /** False until the NEW has come: events that came before it are recorded at once. */
  hasNew: boolean;
  anomalies: Anomaly[];
}

type Ledger = keyof Amounts | 'canceled';

/** Which sums an action speaks about; an action that is missing here describes and moves no money. */
const movements: Partial<Record<Action, readonly Ledger[]>> = {
  AUTHORIZED: ['authorized'],
  APPROVED: ['authorized', 'captured'],
  CAPTURED: ['captured'],
  CANCELED: ['canceled'],
  REFUNDED: ['refunded'],
  DISPUTED: ['disputed'],
};

const describedStatus: Partial<Record<Action, Status>> = {
  NEW: 'new',
  DRAFT: 'draft',
  UPDATE: 'updated',
  DECLINED: 'declined',
};

/** A capture, a refund or a dispute says nothing about what the transaction is worth, nor does a cancellation. */
const setsHeadline = new Set<Action>(['NEW', 'DRAFT', 'UPDATE', 'DECLINED', 'AUTHORIZED', 'APPROVED']);

function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** NEW first, then by time, then as the broker stored them. Total: no two events of a transaction are equal in it. */
export function compareEvents(left: RecordedEvent, right: RecordedEvent): number {
  return (
    Number(right.action === 'NEW') - Number(left.action === 'NEW') ||
    left.at.getTime() - right.at.getTime() ||
    left.sequence - right.sequence ||
    compareText(left.eventId, right.eventId)
  );
}

/** What counts in one sum: for each reference the last event said of it, the latest said last. */
type Standing = Map<string, RecordedEvent>;

interface Fold {
  ledgers: Record<Ledger, Standing>;
  headline: RecordedEvent | undefined;
  described: Status | undefined;
  currency: string | undefined;
  approved: boolean;
  hasNew: boolean;
  anomalies: Anomaly[];
}

/**
 * What a list of facts amounts to: the same for every order of arrival and every order of the list. Throws on
 * an empty list, since a transaction without an event does not exist.
 */
export function foldTransaction(events: readonly RecordedEvent[]): TransactionState {
  const ordered = [...events].sort(compareEvents);
  const first = ordered[0];
  if (first === undefined) throw new RangeError('a transaction has at least one event');

  const fold = emptyFold();
  for (const event of ordered) applyEvent(fold, event);
  const amounts = totalsOf(fold);
  // Where only captures, refunds and the like are known, the first: no later refund makes the transaction smaller.
  const headline = fold.headline ?? first;
  return {
    source: first.source,
    status: statusOf(amounts, fold),
    action: headline.action,
    amount: headline.amount,
    note: headline.note,
    ...(fold.currency === undefined ? {} : { currency: fold.currency }),
    amounts,
    hasNew: fold.hasNew,
    anomalies: fold.anomalies,
  };
}

function emptyFold(): Fold {
  return {
    ledgers: {
      authorized: new Map(),
      captured: new Map(),
      refunded: new Map(),
      disputed: new Map(),
      canceled: new Map(),
    },
    headline: undefined,
    described: undefined,
    currency: undefined,
    approved: false,
    hasNew: false,
    anomalies: [],
  };
}

function applyEvent(fold: Fold, event: RecordedEvent): void {
  const flag = (code: AnomalyCode) => fold.anomalies.push({ n: event.n, code });
  const moves = movements[event.action];
  const hasCaptured = fold.ledgers.captured.size > 0;

  if (event.action === 'NEW' && fold.hasNew) {
    flag('second-new');
    return;
  }
  if (moves === undefined && hasCaptured) {
    flag('after-approved');
    return;
  }

  if (event.action === 'NEW') fold.hasNew = true;
  if (event.action === 'CANCELED' && event.amount > 0 && hasCaptured) flag('canceled-after-capture');
  if (event.action === 'APPROVED' && event.amount > 0) {
    if (fold.approved) flag('approved-again');
    fold.approved = true;
  }
  if (event.currency !== undefined) {
    if (fold.currency !== undefined && fold.currency !== event.currency) flag('currency-changed');
    // It goes with the headline's amount: a refund in another currency is flagged and does not rename that.
    if (fold.currency === undefined || setsHeadline.has(event.action)) fold.currency = event.currency;
  }
  for (const ledger of moves ?? []) setStanding(fold.ledgers[ledger], event);
  if (setsHeadline.has(event.action)) fold.headline = event;
  fold.described = describedStatus[event.action] ?? fold.described;
}

/** The last amount said of a reference counts. 0 means failed or reversed: then nothing of it stands. */
function setStanding(ledger: Standing, event: RecordedEvent): void {
  const reference = event.reference ?? '';
  // A map keeps the place of a key that it has; out and in again makes it the last.
  ledger.delete(reference);
  if (event.amount > 0) ledger.set(reference, event);
}

/**
 * Totals are judged at the end and not on the way: two facts of one second may stand in either order, and a
 * refund that sorts before its capture is no mistake. The flag goes to the last event that counts in the sum.
 */
function totalsOf({ ledgers, anomalies }: Fold): Amounts {
  const flagLast = (code: AnomalyCode, ledger: Standing) => {
    const culprit = [...ledger.values()].at(-1);
    if (culprit !== undefined) anomalies.push({ n: culprit.n, code });
  };
  const totals: Amounts = { authorized: 0, captured: 0, refunded: 0, disputed: 0 };
  const overflown: Standing[] = [];
  for (const name of summed) {
    const { totalMinor, exact } = sumMinor(Array.from(ledgers[name].values(), ({ amount }) => amount));
    totals[name] = totalMinor;
    if (!exact) overflown.push(ledgers[name]);
  }
  if (totals.captured > totals.authorized) flagLast('over-captured', ledgers.captured);
  if (totals.refunded > totals.captured) flagLast('over-refunded', ledgers.refunded);
  for (const ledger of overflown) flagLast('amount-overflow', ledger);
  return totals;
}

const summed = ['authorized', 'captured', 'refunded', 'disputed'] as const;

function statusOf(amounts: Amounts, fold: Fold): Status {
  const { authorized, captured, refunded } = amounts;
  if (captured > 0 && refunded >= captured) return 'refunded';
  if (captured > 0 && refunded > 0) return 'partially_refunded';
  if (captured > 0) return 'approved';
  if (fold.ledgers.canceled.size > 0) return 'canceled';
  if (authorized > 0) return 'authorized';
  // Nothing has described it yet, for instance a refund that came first: to us it is new.
  return fold.described ?? 'new';
}
