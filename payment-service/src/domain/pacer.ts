/** How a backlog is replayed. Times and spans are milliseconds. */
export interface Pace {
  /** 1: as it came; 4: four times as fast; Infinity: at once. */
  speed: number;
  /** No two neighbours are further apart than this, whatever the speed: a quiet night is not waited out. */
  maxGapMs: number;
}

/** The last message that was put on the schedule. */
export interface Position {
  storedAtMs: number;
  dueAtMs: number;
}

export interface PacedMessage {
  storedAtMs: number;
  /** More than 1: it was tried before. */
  deliveries: number;
}

export interface Scheduled {
  dueAtMs: number;
  position: Position | undefined;
}

/** How long after its neighbour a message is due. One that was stored before its neighbour is due with it. */
export function gapMs(storedGapMs: number, { speed, maxGapMs }: Pace): number {
  return Math.min(Math.max(0, storedGapMs) / speed, maxGapMs);
}

/**
 * Puts the next message, in stored order, on the schedule. The first is due now; each other one its gap after the one
 * before *was due*, not after it was handled, so that time lost in handling is not added up. A redelivery that the
 * schedule has passed is due now and does not move it; one that was only held by a process that went away, and is
 * still ahead, waits for its turn like the others.
 */
export function schedule(
  position: Position | undefined,
  { storedAtMs, deliveries }: PacedMessage,
  { pace, nowMs }: { pace: Pace; nowMs: number },
): Scheduled {
  if (position !== undefined && deliveries > 1 && storedAtMs <= position.storedAtMs) {
    return { dueAtMs: nowMs, position };
  }
  if (position === undefined) return { dueAtMs: nowMs, position: { storedAtMs, dueAtMs: nowMs } };
  const dueAtMs = position.dueAtMs + gapMs(storedAtMs - position.storedAtMs, pace);
  return { dueAtMs, position: { storedAtMs: Math.max(storedAtMs, position.storedAtMs), dueAtMs } };
}

export interface Interruption {
  /** The last message that fell due before it. */
  behind: Position | undefined;
  /** When the next message would have been due. */
  nextDueAtMs: number | undefined;
  /** When it began: a pause or an outage; for a change of speed the same as `nowMs`. */
  sinceMs: number;
  nowMs: number;
}

export interface Rescheduled {
  /** Of the held messages, in the order given. */
  dueAtMs: number[];
  position: Position | undefined;
  /** The last message that fell due, as if it had done so on the new schedule. */
  behind: Position | undefined;
}

/**
 * Puts the held messages on a new schedule after a change of speed, a pause or an outage. The share of the way to the
 * next message that was waited before is not waited again, and the time of the interruption does not count: the
 * replay goes on where it stood, and no wave makes up for it.
 */
export function reschedule(
  held: readonly PacedMessage[],
  pace: Pace,
  { behind, nextDueAtMs, sinceMs, nowMs }: Interruption,
): Rescheduled {
  const newBehind = behind && {
    storedAtMs: behind.storedAtMs,
    dueAtMs: nowMs - waitedMs({ behind, nextDueAtMs, sinceMs }, held, pace),
  };
  let position = newBehind;
  const dueAtMs = held.map((message) => {
    const scheduled = schedule(position, message, { pace, nowMs });
    position = scheduled.position;
    return scheduled.dueAtMs;
  });
  return { dueAtMs, position, behind: newBehind };
}

/** The part of the way to the next message that is behind us, in the time that the new pace takes for it. */
function waitedMs(
  { behind, nextDueAtMs, sinceMs }: { behind: Position; nextDueAtMs: number | undefined; sinceMs: number },
  held: readonly PacedMessage[],
  pace: Pace,
): number {
  const next = held.find(({ storedAtMs }) => storedAtMs > behind.storedAtMs);
  const way = next === undefined ? 0 : gapMs(next.storedAtMs - behind.storedAtMs, pace);
  return way * waitedShare(behind.dueAtMs, nextDueAtMs, sinceMs);
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
