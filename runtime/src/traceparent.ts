import { randomUUID } from 'node:crypto';

/** Which trace something belongs to, and which step of it came before (W3C Trace Context). */
export interface TraceContext {
  /** 32 hex characters, not all of them 0. */
  traceId: string;
  /** 16 hex characters, not all of them 0. */
  spanId: string;
  /** Whether who came before has recorded it. */
  sampled: boolean;
}

// A later version may say more behind a dash; of what it begins with, these four are sure to stay.
const pattern =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[\x20-\x7e]*)?$/;
// Version 00 has 55; whoever sends much more means no good.
const lengthMax = 512;

/** Reads a `traceparent`, strictly: undefined for all that is none. */
export function parseTraceparent(text: unknown): TraceContext | undefined {
  if (typeof text !== 'string' || text.length > lengthMax) return undefined;
  const [, version, traceId, spanId, flags, more] = pattern.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  if (version === '00' && more !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags ?? '0', 16) & 1) === 1 };
}

/** In version 00, whichever it was read from; of the flags we know one. */
export function writeTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** A trace of its own. */
export function newTrace(): TraceContext {
  // Random as any, and Node has them in store: bytes of one's own cost eight times as much. Within its trace the first step
  // need not be random once more.
  const traceId = randomUUID().replaceAll('-', '');
  return { traceId, spanId: traceId.slice(16), sampled: true };
}

export const newTraceparent = (): string => writeTraceparent(newTrace());

/** The trace id of a `traceparent`, by which the log lines of an event are found. */
export function traceIdOf(traceparent: unknown): string | undefined {
  return parseTraceparent(traceparent)?.traceId;
}
