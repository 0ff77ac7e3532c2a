/** Two times of one event, in milliseconds of any clocks. */
export interface TimedEvent {
  storedAt: number;
  appliedAt: number;
}

export interface Rhythm {
  originalMs: number;
  appliedMs: number;
  /** For each pair of neighbours in stored order: how far their distance is from the one that the speed gives. */
  gapErrorsMs: number[];
}

/** How the distances between the applications of events differ from those between their storings. */
export function rhythmOf(events: readonly TimedEvent[], speed = 1): Rhythm {
  const inOrder = events.toSorted((left, right) => left.storedAt - right.storedAt);
  const applied = inOrder.map(({ appliedAt }) => appliedAt);
  const first = inOrder[0];
  const last = inOrder.at(-1);
  if (first === undefined || last === undefined) throw new Error('nothing was applied');
  const gapErrorsMs = inOrder.slice(1).map((event, index) => {
    const before = inOrder[index] ?? event;
    return Math.abs(event.appliedAt - before.appliedAt - (event.storedAt - before.storedAt) / speed);
  });
  return {
    originalMs: last.storedAt - first.storedAt,
    appliedMs: Math.max(...applied) - Math.min(...applied),
    gapErrorsMs,
  };
}

/** The value below which that share of the values lies; 0 of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
