import {
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetters,
  DeadLettersUnavailable,
  traceIdIn,
} from '@paystream/nats';
import { describeError, type Log, pause } from '@paystream/runtime';
import type { Decide } from './decide.ts';
import type { RedriveResult, RedriveStore } from './redrive-store.ts';
import { StoreUnavailable } from './store.ts';

/** Who wants it, and why. */
export interface Order {
  by: string;
  reason: string;
}

export type Redriven = RedriveResult & { sequence: number };

export interface RedriveManyQuery {
  filter: DeadLetterFilter;
  after: number;
  limit: number;
}

export interface RedriverOptions {
  letters: DeadLetters;
  decide: Decide;
  redrives: RedriveStore;
  log: Log;
  now: () => Date;
}

export interface Redriver {
  /** Applies a dead letter again, or undefined when there is none of that sequence. */
  one(sequence: number, order: Order): Promise<Redriven | undefined>;
  /** The same with those that match, oldest first, at a bounded rate. `next`: there may be more behind that sequence. */
  many(query: RedriveManyQuery, order: Order): Promise<{ redriven: Redriven[]; next: number | undefined }>;
  /** How many match, as far as can be counted in a short time. */
  count(query: Omit<RedriveManyQuery, 'limit'>): Promise<{ count: number; next: number | undefined }>;
}

// Live payments and a replay go on meanwhile: 50 a second is a small part of what the database takes.
const oneEveryMs = 20;
// Well within the time that clients and proxies wait for an answer.
const workForMs = 20_000;
const countForMs = 5_000;
const lookAtMax = 1_000;
// A message has 256 KiB at most: this many are in memory at one time.
const pageMax = 20;

/**
 * Applies dead letters again, past the stream: what is recorded is recorded once, however often it is done, and leaves
 * the dead letters; what fails stays. Each redrive is written down before it begins.
 */
export function createRedriver({ letters, decide, redrives, log, now }: RedriverOptions): Redriver {
  const redrive = async (letter: DeadLetter, { by, reason }: Order): Promise<Redriven> => {
    const { sequence } = letter;
    const id = await redrives.begin({ letter: letter.id, sequence, by, at: now(), reason });
    const { err, ...outcome } = await applyAgain(letter, decide);
    // Before it is taken out: when that is the last that can be done, the trace says what came of it all the same.
    const stays = { ...outcome, removed: false };
    await redrives.finish(id, stays);
    const result = outcome.outcome === 'failed' ? stays : await remove(letter, outcome);
    if (result.removed) await redrives.finish(id, result).catch(unlessAway);
    const level = result.outcome === 'applied' || result.outcome === 'duplicate' ? 'info' : 'error';
    const line = { sequence, letter: letter.id, traceId: traceIdIn(letter.message), by, reason };
    log[level]({ ...line, ...result, err }, 'dead-letter.redriven');
    return { sequence, ...result };
  };

  const remove = async (
    { sequence }: DeadLetter,
    outcome: Omit<RedriveResult, 'removed'>,
  ): Promise<RedriveResult> => {
    try {
      await letters.remove(sequence);
      return { ...outcome, removed: true };
    } catch (error) {
      if (!(error instanceof DeadLettersUnavailable)) throw error;
      // It is applied; redriven again it is a duplicate, and goes then.
      return { ...outcome, error: `it could not be taken out: ${error.message}`, removed: false };
    }
  };

  return {
    one: async (sequence, order) => {
      const letter = await letters.get(sequence);
      return letter && redrive(letter, order);
    },
    many: async ({ filter, after, limit }, order) => {
      const redriven: Redriven[] = [];
      const until = performance.now() + workForMs;
      let next: number | undefined = after;
      while (next !== undefined && redriven.length < limit && performance.now() < until) {
        const page = await letters.find({
          filter,
          after: next,
          limit: Math.min(pageMax, limit - redriven.length),
          lookAtMax,
        });
        for (const letter of page.letters) {
          redriven.push(await redrive(letter, order));
          await pause(oneEveryMs);
        }
        next = page.next;
      }
      return { redriven, next };
    },
    count: async ({ filter, after }) => {
      const until = performance.now() + countForMs;
      let count = 0;
      let next: number | undefined = after;
      while (next !== undefined && performance.now() < until) {
        const page = await letters.find({ filter, after: next, limit: pageMax, lookAtMax });
        count += page.letters.length;
        next = page.next;
      }
      return { count, next };
    },
  };
}

/** It is done and will be told; only that it was taken out is not in the trace. */
const unlessAway = (error: unknown) => {
  if (!(error instanceof StoreUnavailable)) throw error;
};

type Again = Omit<RedriveResult, 'removed'> & { err?: unknown };

async function applyAgain({ message }: DeadLetter, decide: Decide): Promise<Again> {
  try {
    const [settling] = await decide([message]);
    const outcome = settling?.outcome;
    switch (outcome?.kind) {
      case 'applied':
      case 'duplicate':
      case 'conflict':
      case 'unmapped':
        return { outcome: outcome.kind, error: null };
      case 'dead-letter':
      case 'unreadable':
        return { outcome: 'failed', error: `${outcome.reason}: ${outcome.detail}` };
      case 'retry':
        return { outcome: 'failed', error: outcome.detail, err: outcome.error };
      case undefined:
        return { outcome: 'failed', error: 'no outcome is known' };
      default:
        return outcome satisfies never;
    }
  } catch (error) {
    if (error instanceof StoreUnavailable) throw error;
    return { outcome: 'failed', error: describeError(error), err: error };
  }
}
