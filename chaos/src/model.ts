import type { RecordedEntry, RecordedTransaction } from './history.ts';

export type ModelState = Pick<
  RecordedTransaction,
  'status' | 'action' | 'amount' | 'note' | 'captured' | 'hasNew' | 'source' | 'anomalies'
>;

/**
 * What the four actions of `x-payment` amount to, written a second time and without the product's code: NEW first, then
 * by the broker's time, then by its sequence. Two people who read the same rules must come to the same state.
 */
export function modelOf(entries: readonly RecordedEntry[]): ModelState {
  const ordered = entries.toSorted(
    (left, right) =>
      rank(left) - rank(right) ||
      left.at - right.at ||
      left.sequence - right.sequence ||
      (left.eventId < right.eventId ? -1 : 1),
  );
  const anomalies: ModelState['anomalies'] = [];
  let last: RecordedEntry | undefined;
  let status = 'new';
  let hasNew = false;
  let captured = 0;
  for (const entry of ordered) {
    const { n, action, amount } = entry;
    if (action === 'APPROVED') {
      if (captured > 0) anomalies.push({ n, code: 'approved-again' });
      captured = amount;
      status = 'approved';
    } else if (action === 'NEW' && hasNew) {
      anomalies.push({ n, code: 'second-new' });
      continue;
    } else if (captured > 0) {
      anomalies.push({ n, code: 'after-approved' });
      continue;
    } else if (action === 'NEW') {
      hasNew = true;
      status = 'new';
    } else {
      status = action === 'DRAFT' ? 'draft' : 'updated';
    }
    last = entry;
  }
  return {
    status,
    action: last?.action ?? '',
    amount: last?.amount ?? 0,
    note: last?.note ?? '',
    captured,
    hasNew,
    source: ordered[0]?.source ?? '',
    anomalies,
  };
}

const rank = ({ action }: RecordedEntry) => (action === 'NEW' ? 0 : 1);
