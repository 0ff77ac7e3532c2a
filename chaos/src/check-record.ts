import type { History, RecordedTransaction } from './history.ts';
import { modelOf } from './model.ts';
import type { Violation, ViolationKind } from './violation.ts';

// Half of the hour by which the clock of a gateway is put wrong; no message of a run is this old.
const clockErrorMs = 30 * 60_000;

/** Whether each transaction is what its facts amount to. */
export function checkRecord({ record }: History): Violation[] {
  return record.flatMap((transaction) => [
    ...checkState(transaction),
    ...checkPlaces(transaction),
    ...checkTimes(transaction),
  ]);
}

const violation = (kind: ViolationKind, what: string): Violation => ({ kind, what });

/** What an older event would have overwritten. */
const headline = ['action', 'amount', 'note'] as const;
const derived = ['status', 'captured', 'hasNew', 'source'] as const;

function checkState(transaction: RecordedTransaction): Violation[] {
  const { txId, actionHistory } = transaction;
  if (actionHistory.length === 0) return [violation('wrong-state', `${txId} has no history`)];
  const model = modelOf(actionHistory);
  const differs = (field: (typeof headline)[number] | (typeof derived)[number]) =>
    model[field] === transaction[field]
      ? []
      : [`${txId}: ${field} is ${transaction[field]} and must be ${model[field]}`];
  const codes = (anomalies: RecordedTransaction['anomalies']) =>
    anomalies
      .map(({ n, code }) => `${n} ${code}`)
      .toSorted()
      .join(', ');
  const [is, mustBe] = [codes(transaction.anomalies), codes(model.anomalies)];
  return [
    ...headline.flatMap(differs).map((what) => violation('stale-won', what)),
    ...derived.flatMap(differs).map((what) => violation('wrong-state', what)),
    ...(is === mustBe ? [] : [violation('wrong-state', `${txId}: anomalies ${is} must be ${mustBe}`)]),
  ];
}

function checkPlaces({ txId, version, actionHistory, conflicts }: RecordedTransaction): Violation[] {
  const places = actionHistory.map(({ n }) => n);
  const writesMax = actionHistory.length + conflicts.length;
  return [
    ...(places.every((n, index) => n === index + 1)
      ? []
      : [violation('history-broken', `${txId}: places ${places.join(' ')}`)]),
    // Each write adds one fact at least, and the first one makes version 1.
    ...(version >= 1 && version <= writesMax
      ? []
      : [violation('history-broken', `${txId}: version ${version} with ${writesMax} facts`)]),
  ];
}

function checkTimes({ txId, actionHistory }: RecordedTransaction): Violation[] {
  const [first] = actionHistory;
  return actionHistory
    .filter(
      ({ at, storedAt }) =>
        // The sources of a run give no time, so the broker's counts; and that one runs with its neighbours'.
        at !== storedAt || Math.abs(storedAt - (first?.storedAt ?? storedAt)) > clockErrorMs,
    )
    .map(({ n, at, storedAt, receivedAt }) =>
      violation('clock-trusted', `${txId} ${n}: at ${at}, stored ${storedAt}, received ${receivedAt}`),
    );
}
