import { type History, labelIn, type RecordedEntry, type Webhook } from './history.ts';
import type { Violation, ViolationKind } from './violation.ts';

interface Found {
  txId: string;
  place: 'history' | 'conflicts';
  fact: Omit<RecordedEntry, 'n'>;
}

/** Whether each message that was sent is where it must be, once, as it was sent; and nothing else is there. */
export function checkMessages(history: History): Violation[] {
  const found = findAll(history);
  return [
    ...checkSent(history, found),
    ...checkFound(history, found),
    ...checkDeadLetters(history),
    ...checkDocuments(history),
  ];
}

function findAll({ record }: History): Map<string, Found[]> {
  const found = new Map<string, Found[]>();
  const add = (one: Found) => {
    const label = labelIn(one.fact.note);
    found.set(label, [...(found.get(label) ?? []), one]);
  };
  for (const { txId, actionHistory, conflicts } of record) {
    for (const fact of actionHistory) add({ txId, place: 'history', fact });
    for (const fact of conflicts) add({ txId, place: 'conflicts', fact });
  }
  return found;
}

const violation = (kind: ViolationKind, what: string): Violation => ({ kind, what });

function checkSent({ attempts, deadLetters }: History, found: Map<string, Found[]>): Violation[] {
  const stored = attempts.filter(({ answer }) => answer.kind === 'stored').map(({ label }) => label);
  const dead = new Set(deadLetters.map(({ label }) => label));
  return [...new Set(stored)]
    .filter((label) => !found.has(label) && !dead.has(label))
    .map((label) => violation('lost', label));
}

function checkFound({ webhooks, attempts }: History, found: Map<string, Found[]>): Violation[] {
  const sent = new Map(webhooks.map((webhook) => [webhook.label, webhook]));
  const tried = new Set(attempts.map(({ label }) => label));
  return [...found].flatMap(([label, places]) => {
    const webhook = sent.get(label);
    if (webhook === undefined || !tried.has(label)) {
      return places.map(({ txId, fact }) =>
        violation('invented', `${txId} has ${fact.action} ${fact.amount} "${fact.note.slice(0, 40)}"`),
      );
    }
    const all = places.map(({ place }) => place).join(' and ');
    return [
      ...(places.length > 1 ? [violation('twice', `${label} in ${webhook.txId}: ${all}`)] : []),
      ...places.flatMap((one) => differences(webhook, one).map((what) => violation('changed', what))),
    ];
  });
}

function differences(webhook: Webhook, { txId, fact }: Found): string[] {
  const pairs: [string, unknown, unknown][] = [
    ['txId', webhook.txId, txId],
    ['action', webhook.action, fact.action],
    ['amount', webhook.amount, fact.amount],
    ['note', webhook.note, fact.note],
    ['source', 'x-payment', fact.source],
    ...(webhook.webhookId === undefined
      ? []
      : [['eventId', webhook.webhookId, fact.eventId] satisfies [string, unknown, unknown]]),
  ];
  return pairs
    .filter(([, was, is]) => was !== is)
    .map(([field, was, is]) => `${webhook.label}: ${field} was ${was} and is ${is}`);
}

function checkDeadLetters({ poisons, deadLetters, webhooks }: History): Violation[] {
  const good = new Set(webhooks.map(({ label }) => label));
  const known = new Set(poisons.map(({ label }) => label));
  const copies = deadLetters.map(({ label, sequence }) => `${label} of ${sequence}`);
  return [
    ...poisons.flatMap(({ label, reason }) => {
      const kept = deadLetters.filter((letter) => letter.label === label);
      if (kept.length === 0) return [violation('poison-not-kept', `${label} is nowhere`)];
      return kept
        .filter((letter) => letter.reason !== reason)
        .map((letter) => violation('poison-not-kept', `${label} for ${letter.reason}, not ${reason}`));
    }),
    ...[...new Set(copies.filter((copy, index) => copies.indexOf(copy) !== index))].map((copy) =>
      violation('poison-not-kept', `${copy} is kept more than once`),
    ),
    ...deadLetters
      .filter(({ label }) => !known.has(label))
      .map(({ label, reason, sequence }) =>
        violation(
          good.has(label) ? 'good-one-put-aside' : 'invented',
          `dead letter ${label || 'without a label'} of ${sequence}, ${reason}`,
        ),
      ),
  ];
}

function checkDocuments({ record, hasUniqueIndex }: History): Violation[] {
  const ids = record.map(({ txId }) => txId);
  const twice = ids.filter((txId, index) => ids.indexOf(txId) !== index);
  return [
    ...[...new Set(twice)].map((txId) => violation('two-documents', txId)),
    ...(hasUniqueIndex ? [] : [violation('no-unique-index', 'transactions.txId')]),
  ];
}
