import { type Attempt, attemptsMax, type SuspectStore } from '../suspects.ts';

export interface MemorySuspects extends SuspectStore {
  attempts: Map<string, Attempt[]>;
}

/** The markers in memory. */
export function createMemorySuspects(): MemorySuspects {
  const attempts = new Map<string, Attempt[]>();
  const of = (message: string) => attempts.get(message) ?? [];
  return {
    attempts,
    mark: async (message, attempt) => {
      const before = of(message);
      if (before.length >= attemptsMax) return { kind: 'in-vain', attempts: before };
      attempts.set(message, [...before, attempt]);
      return { kind: 'marked' };
    },
    explain: async (message, attempt) => {
      attempts.set(
        message,
        of(message).map((known) => (known.id === attempt.id ? attempt : known)),
      );
    },
    takeBack: async (message, { id }) => {
      attempts.set(
        message,
        of(message).filter((known) => known.id !== id),
      );
    },
    clear: async (message) => void attempts.delete(message),
  };
}
