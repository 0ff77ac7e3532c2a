import { describeError } from '@paystream/runtime';
import {
  decideRecord,
  type IncomingEvent,
  type RecordChange,
  type RecordDecision,
  type TransactionRecord,
} from './domain/record.ts';
import { StoreUnavailable, TooMuchHistory, type TransactionStore } from './store.ts';

export type RecordOutcome = RecordDecision | Retry;
/** With the error where it is none that anybody expects: a bug of ours most likely. */
interface Retry {
  kind: 'retry';
  detail: string;
  error?: unknown;
}

// Two instances that write one transaction at the same time settle it in two rounds; five means that something is wrong.
const roundsMax = 5;

/**
 * Applies each event exactly once to its transaction and tells for each, in the order given, what became of it:
 * one read, a pure decision per transaction, one bulk write. An outcome other than `retry` is known to be in the
 * database. Rejects with StoreUnavailable when the database is away; then nothing is known of any event.
 */
export async function recordEvents(
  { store, now }: { store: TransactionStore; now: () => Date },
  events: readonly IncomingEvent[],
): Promise<RecordOutcome[]> {
  try {
    return await recordTogether({ store, now }, events);
  } catch (error) {
    if (error instanceof StoreUnavailable) throw error;
    const groups = [...groupByTransaction(events).values()];
    if (groups.length <= 1) return events.map(() => ({ kind: 'retry', detail: describeError(error), error }));
    // One transaction that the database chokes on must not hold up the others.
    const together = error instanceof TooMuchHistory ? error.fitting : 1;
    const outcomes = new Map<IncomingEvent, RecordOutcome>();
    for (let from = 0; from < groups.length; from += together) {
      const part = groups.slice(from, from + together).flat();
      const recorded = await recordEvents({ store, now }, part);
      for (const [index, event] of part.entries()) outcomes.set(event, outcomeAt(recorded, index));
    }
    return events.map((event) => outcomes.get(event) ?? notSettled);
  }
}

const notSettled: RecordOutcome = { kind: 'retry', detail: `lost the write race ${roundsMax} times` };

interface Planned {
  group: readonly IncomingEvent[];
  decisions: readonly RecordDecision[];
  change: RecordChange;
}

async function recordTogether(
  { store, now }: { store: TransactionStore; now: () => Date },
  events: readonly IncomingEvent[],
): Promise<RecordOutcome[]> {
  const outcomes = new Map<IncomingEvent, RecordOutcome>();
  const settle = (group: readonly IncomingEvent[], decisions: readonly RecordOutcome[]) => {
    for (const [index, event] of group.entries()) outcomes.set(event, outcomeAt(decisions, index));
  };
  const open = groupByTransaction(events);

  for (let round = 1; round <= roundsMax && open.size > 0; round += 1) {
    const records = await store.readRecords([...open.keys()]);
    const planned: Planned[] = [];
    for (const [txId, group] of open) {
      const record = records.get(txId);
      const { decisions, change } = decideRecord(record, group);
      if (change !== undefined) planned.push({ group, decisions, change });
      else {
        settle(group, round === 1 ? decisions : ownWritesAsApplied({ record, group, decisions }));
        open.delete(txId);
      }
    }
    if (planned.length === 0) break;
    const { complete, refused } = await store.writeChanges(
      planned.map(({ change }) => change),
      now(),
    );
    for (const { group, decisions, change } of planned) {
      const refusal = refused.get(change.txId);
      if (refusal !== undefined)
        settle(
          group,
          group.map(() => ({ kind: 'retry', detail: refusal })),
        );
      else if (complete) settle(group, decisions);
      // Whether this one was written is not known: the next round finds its events in the history, or decides again.
      else continue;
      open.delete(change.txId);
    }
  }
  return events.map((event) => outcomes.get(event) ?? notSettled);
}

interface Found {
  record: TransactionRecord | undefined;
  group: readonly IncomingEvent[];
  decisions: readonly RecordDecision[];
}

/** What an earlier round wrote is found as a duplicate; no other attempt has its sequence and number of deliveries. */
function ownWritesAsApplied({ record, group, decisions }: Found): RecordDecision[] {
  const attempt = (event: { eventId: string; sequence: number; deliveries: number }) =>
    `${event.sequence} ${event.deliveries} ${event.eventId}`;
  const written = new Set(record?.actionHistory.map(attempt));
  return decisions.map((decision, index) => {
    const event = group[index];
    const isOurs = decision.kind === 'duplicate' && event !== undefined && written.has(attempt(event));
    return isOurs ? { kind: 'applied' } : decision;
  });
}

function outcomeAt(outcomes: readonly RecordOutcome[], index: number): RecordOutcome {
  return outcomes[index] ?? notSettled;
}

function groupByTransaction(events: readonly IncomingEvent[]): Map<string, IncomingEvent[]> {
  const groups = new Map<string, IncomingEvent[]>();
  for (const event of events) {
    const group = groups.get(event.txId);
    if (group === undefined) groups.set(event.txId, [event]);
    else group.push(event);
  }
  return groups;
}
