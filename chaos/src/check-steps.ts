import type { RecordedEntry, RecordedTransaction } from './history.ts';
import type { Violation, ViolationKind } from './violation.ts';

/** Compares each dump of the whole record with the one before it, and keeps no more than one. */
export interface Steps {
  violations: readonly Violation[];
  /** Gives what was dumped. Of a dump that ends with an error nothing is said. */
  take(
    dump: AsyncIterable<RecordedTransaction> | Iterable<RecordedTransaction>,
  ): Promise<RecordedTransaction[]>;
}

export function createSteps(): Steps {
  let before = new Map<string, RecordedTransaction>();
  const violations: Violation[] = [];
  return {
    violations,
    take: async (dump) => {
      const all: RecordedTransaction[] = [];
      const now = new Map<string, RecordedTransaction>();
      const found: Violation[] = [];
      // One by one, and not all at the end: a harness that stands still to compare measures its own pause as an answer's.
      for await (const transaction of dump) {
        all.push(transaction);
        now.set(transaction.txId, transaction);
        const then = before.get(transaction.txId);
        if (then !== undefined) found.push(...checkStep(then, transaction));
      }
      for (const txId of before.keys()) {
        if (!now.has(txId)) found.push(violation('went-back', `${txId} has disappeared`));
      }
      violations.push(...found);
      before = now;
      return all;
    },
  };
}

const violation = (kind: ViolationKind, what: string): Violation => ({ kind, what });

function checkStep(then: RecordedTransaction, next: RecordedTransaction): Violation[] {
  const wentBack = next.version < then.version || (then.captured > 0 && next.captured === 0);
  const was = `${then.status} (version ${then.version})`;
  return [
    ...(wentBack
      ? [violation('went-back', `${then.txId} was ${was} and is ${next.status} (version ${next.version})`)]
      : []),
    ...changedFacts(then, next).map((what) => violation('fact-changed', `${then.txId}: ${what}`)),
  ];
}

function changedFacts(then: RecordedTransaction, next: RecordedTransaction): string[] {
  const kept = <Fact extends Omit<RecordedEntry, 'n'>>(was: readonly Fact[], is: readonly Fact[]) =>
    was.filter((fact, index) => JSON.stringify(fact) !== JSON.stringify(is[index]));
  return [
    ...kept(then.actionHistory, next.actionHistory).map(({ n }) => `history ${n} is not as it was`),
    ...kept(then.conflicts, next.conflicts).map(({ eventId }) => `conflict ${eventId} is not as it was`),
  ];
}
