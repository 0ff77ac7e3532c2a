/** How a backlog is replayed. Times and spans are milliseconds. */
export interface Pace {
  /** 1: as it came; 4: four times as fast; Infinity: at once. */
  speed: number;
  /** No two neighbours are further apart than this, whatever the speed: a quiet night is not waited out. */
  maxGapMs: number;
}

/** A message on the schedule. */
export interface Position {
  storedAtMs: number;
  dueAtMs: number;
}

/** How long after its neighbour a message is due. One that was stored before its neighbour is due with it. */
export function gapMs(storedGapMs: number, { speed, maxGapMs }: Pace): number {
  return Math.min(Math.max(0, storedGapMs) / speed, maxGapMs);
}

/**
 * When each message is due, given in stored order. The first of all is due now; each other one its gap after the one
 * before *was due*, not after it was handled, so that time lost in handling is not added up. What the schedule has
 * passed (`behind` is the last message that fell due) is due now and moves nothing: a redelivery, or one that came late.
 * One that was only held by a process that went away, and is still ahead, has its turn like the others.
 */
export function schedule(
  storedAtMs: readonly number[],
  { behind, pace, nowMs }: { behind: Position | undefined; pace: Pace; nowMs: number },
): number[] {
  let last = behind;
  return storedAtMs.map((storedAt) => {
    if (behind !== undefined && storedAt <= behind.storedAtMs) return nowMs;
    const dueAtMs = last === undefined ? nowMs : last.dueAtMs + gapMs(storedAt - last.storedAtMs, pace);
    last = { storedAtMs: storedAt, dueAtMs };
    return dueAtMs;
  });
}

/**
 * Where the schedule stands after a change of speed, a pause or an outage that began at `sinceMs` (for a change of speed
 * that is now): the last message that fell due, as if it had done so at the new pace. The share of the way to the next
 * message that was waited before is not waited again, and the time of the interruption does not count: the replay goes
 * on where it stood, and no wave makes up for it.
 */
export function resume(
  behind: Position,
  next: Position | undefined,
  { pace, sinceMs, nowMs }: { pace: Pace; sinceMs: number; nowMs: number },
): Position {
  const way = next === undefined ? 0 : gapMs(next.storedAtMs - behind.storedAtMs, pace);
  const waitedMs = way * waitedShare(behind.dueAtMs, next?.dueAtMs, sinceMs);
  return { storedAtMs: behind.storedAtMs, dueAtMs: nowMs - waitedMs };
}

function waitedShare(fromMs: number, toMs: number | undefined, atMs: number): number {
  if (toMs === undefined || toMs <= fromMs) return 0;
  return Math.min(1, Math.max(0, (atMs - fromMs) / (toMs - fromMs)));
}

export interface ReplayRules {
  mode: 'original' | 'instant';
  speed: number;
  maxGapMs: number;
  /** When the replay must be over, if it must. */
  finishAtMs: number | undefined;
  /** The broker deletes a message of this age; 0: never. */
  maxAgeMs: number;
}

/**
 * The pace that the rules give for what is left of a backlog. `guard` is true when its oldest message has used half of
 * its time on the broker: then the rest is replayed at once, since late beats lost.
 */
export function paceFor(
  { mode, speed, maxGapMs, finishAtMs, maxAgeMs }: ReplayRules,
  backlog: { oldestStoredAtMs: number; newestStoredAtMs: number },
  nowMs: number,
): { pace: Pace; guard: boolean } {
  const guard = maxAgeMs > 0 && nowMs - backlog.oldestStoredAtMs > maxAgeMs / 2;
  if (guard || mode === 'instant') return { pace: { speed: Number.POSITIVE_INFINITY, maxGapMs }, guard };
  if (finishAtMs === undefined) return { pace: { speed, maxGapMs }, guard };
  const spanMs = Math.max(0, backlog.newestStoredAtMs - backlog.oldestStoredAtMs);
  const leftMs = finishAtMs - nowMs;
  const needed = leftMs > 0 ? spanMs / leftMs : Number.POSITIVE_INFINITY;
  return { pace: { speed: Math.max(speed, needed), maxGapMs }, guard };
}
