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

  return {
    add: (id, sequence) => {
      if (known.has(id)) return;
      known.set(id, { sequence, until: clock() + forMs });
      if (known.size <= idsMax) return;
      const [oldest] = known.keys();
      if (oldest !== undefined) known.delete(oldest);
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
