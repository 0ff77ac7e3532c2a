import { checkMessages } from './check-messages.ts';
import { checkRecord } from './check-record.ts';
import { checkService, isExcused } from './check-service.ts';
import { type History, labelIn } from './history.ts';
import type { Violation } from './violation.ts';

/** Every way in which this run broke a promise. Pure: it reads the history and nothing else. */
export function check(history: History): Violation[] {
  return [...checkMessages(history), ...checkRecord(history), ...history.steps, ...checkService(history)];
}

export interface Counts {
  sent: number;
  requests: number;
  answered200: number;
  answered503: number;
  /** Requests without an answer: they may have been stored and may not. */
  unknown: number;
  applied: number;
  /** Times that one was sent and recorded only once all the same. */
  duplicates: number;
  conflicts: number;
  anomalies: number;
  deadLetters: number;
  lost: number;
  invented: number;
  twice: number;
  /** Milliseconds, of a gateway that was not itself out of order. */
  longestAnswerMs: number;
}

/** The numbers of a run. */
export function count(history: History, violations: readonly Violation[]): Counts {
  const { webhooks, attempts, record, deadLetters, windows } = history;
  const answered = (kind: string) => attempts.filter(({ answer }) => answer.kind === kind);
  const kinds = (kind: string) => violations.filter((violation) => violation.kind === kind).length;
  const applied = record.flatMap(({ actionHistory }) => actionHistory.map(({ note }) => labelIn(note)));
  const stored = answered('stored');
  const waits = attempts
    .filter((attempt) => !isExcused(attempt, windows))
    .map(({ sentAtMs, endedAtMs }) => endedAtMs - sentAtMs);
  return {
    sent: webhooks.length,
    requests: attempts.length,
    answered200: stored.length,
    answered503: answered('refused').filter(
      ({ answer }) => answer.kind === 'refused' && answer.status === 503,
    ).length,
    unknown: answered('none').length,
    applied: applied.length,
    duplicates: stored.length - new Set(stored.map(({ label }) => label)).size,
    conflicts: record.reduce((sum, { conflicts }) => sum + conflicts.length, 0),
    anomalies: record.reduce((sum, { anomalies }) => sum + anomalies.length, 0),
    deadLetters: deadLetters.length,
    lost: kinds('lost'),
    invented: kinds('invented') + kinds('changed'),
    twice: kinds('twice') + kinds('two-documents'),
    longestAnswerMs: Math.round(waits.reduce((longest, wait) => Math.max(longest, wait), 0)),
  };
}
