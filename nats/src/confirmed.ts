/** Message ids of which the broker has said that they are stored, for a while. */
export interface Confirmed {
  /** The broker's word on it. */
  add(id: string, word: { sequence: number; duplicate: boolean }): void;
  /** The sequence under which it is stored; undefined: nobody here knows. */
  sequenceOf(id: string): number | undefined;
  forgetAll(): void;
}

export interface ConfirmedOptions {
  /** About 200 bytes each. */
  idsMax: number;
  forMs: number;
  /** Milliseconds that only grow. */
  clock: () => number;
}

// Two batches of 500 and ten single messages may be heard in another order, and other gateways publish between them. A stream
// that was still smaller than this is known as another one only by a publish that found none.
const disorderMax = 2_000;

/**
 * Bounded in number and time; the oldest is forgotten first. All are forgotten when a sequence shows that the stream began
 * anew, since what was in the one before is not in this one.
 */
export function createConfirmed({ idsMax, forMs, clock }: ConfirmedOptions): Confirmed {
  // A map keeps the order in which its keys came.
  const known = new Map<string, { sequence: number; until: number }>();
  let newest = 0;

  // A tenth at a time: who looks for the oldest passes over the places of all that went before it, since a map makes itself
  // smaller only now and then. For each id alone that takes 6 µs.
  const forgetOldest = () => {
    const kept = idsMax - Math.floor(idsMax / 10);
    for (const oldest of known.keys()) {
      if (known.size <= kept) return;
      known.delete(oldest);
    }
  };

  const forgetAll = () => {
    known.clear();
    newest = 0;
  };

  return {
    add: (id, { sequence, duplicate }) => {
      if (!duplicate && sequence + disorderMax < newest) forgetAll();
      if (!duplicate) newest = Math.max(newest, sequence);
      if (known.has(id)) return;
      known.set(id, { sequence, until: clock() + forMs });
      if (known.size > idsMax) forgetOldest();
    },
    sequenceOf: (id) => {
      const found = known.get(id);
      if (found === undefined) return undefined;
      if (clock() < found.until) return found.sequence;
      known.delete(id);
      return undefined;
    },
    forgetAll,
  };
}
