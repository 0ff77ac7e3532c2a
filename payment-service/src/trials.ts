import { randomUUID } from 'node:crypto';
import { type Delivery, originId } from '@paystream/nats';
import { StoreUnavailable } from './store.ts';
import type { Attempt, SuspectStore } from './suspects.ts';

export type Trial =
  | { kind: 'begun'; message: string; attempt: Attempt }
  | { kind: 'in-vain'; message: string; detail: string; firstError: string; lastError: string };

/** What became of a trial: the message had an outcome, it failed for a reason, or the database was away. */
export type TrialEnd = { kind: 'outcome' } | { kind: 'failed'; error: string } | { kind: 'outage' };

export interface Trials {
  /** Writes the marker, or says that there are enough of them. Rejects with StoreUnavailable. */
  begin(delivery: Delivery): Promise<Trial>;
  /** Never rejects because of an outage. */
  end(trial: Trial, how: TrialEnd): Promise<void>;
  /** Takes back what outages have interrupted. Rejects with StoreUnavailable, and can then be called again. */
  takeBack(): Promise<void>;
}

const withoutWord = 'the process ended while it held this message alone';

/** The markers as one process writes them: an outage of the database uses up no attempt. */
export function createTrials({ store, now }: { store: SuspectStore; now: () => Date }): Trials {
  // An outage that interrupts an attempt does not let it be taken back either.
  const interrupted = new Map<string, { message: string; attempt: Attempt }>();

  const takeBack = async () => {
    for (const [id, { message, attempt }] of interrupted) {
      await store.takeBack(message, attempt);
      interrupted.delete(id);
    }
  };

  return {
    takeBack,
    begin: async (delivery) => {
      await takeBack();
      const message = originId(delivery);
      const attempt: Attempt = { id: randomUUID(), at: now() };
      try {
        const marking = await store.mark(message, attempt);
        if (marking.kind === 'in-vain') return inVain(message, marking.attempts);
        return { kind: 'begun', message, attempt };
      } catch (error) {
        // It may have been written all the same.
        interrupted.set(attempt.id, { message, attempt });
        throw error;
      }
    },
    end: async (trial, how) => {
      const { message } = trial;
      try {
        if (how.kind === 'outcome') await store.clear(message);
        if (trial.kind === 'in-vain') return;
        const { attempt } = trial;
        if (how.kind === 'outage') interrupted.set(attempt.id, { message, attempt });
        if (how.kind === 'failed') await store.explain(message, { ...attempt, error: how.error });
      } catch (error) {
        // What stays behind of a message that is gone is removed by its age.
        if (!(error instanceof StoreUnavailable)) throw error;
      }
    },
  };
}

function inVain(message: string, attempts: readonly Attempt[]): Trial {
  const firstError = attempts[0]?.error ?? withoutWord;
  const lastError = attempts.at(-1)?.error ?? withoutWord;
  const detail = `tried alone ${attempts.length} times without an outcome; the last time: ${lastError}`;
  return { kind: 'in-vain', message, detail, firstError, lastError };
}
