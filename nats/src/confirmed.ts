/** Message ids of which the broker has said that they are stored, for a while. */
export interface Confirmed {
  add(id: string, sequence: number): void;
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

/** Bounded in number and time; the oldest is forgotten first. */
export function createConfirmed({ idsMax, forMs, clock }: ConfirmedOptions): Confirmed {
  // A map keeps the order in which its keys came.
  const known = new Map<string, { sequence: number; until: number }>();

  // A tenth at a time: who looks for the oldest passes over the places of all that went before it, since a map makes itself
  // smaller only now and then. For each id alone that takes 6 µs.
  const forgetOldest = () => {
    const kept = idsMax - Math.floor(idsMax / 10);
    for (const oldest of known.keys()) {
      if (known.size <= kept) return;
      known.delete(oldest);
    }
  };

  return {
    add: (id, sequence) => {
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
    forgetAll: () => known.clear(),
  };
}
