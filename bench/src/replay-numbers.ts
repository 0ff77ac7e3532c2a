import { quantile, rhythmOf, type TimedEvent } from '@paystream/local';

/** What happened in one run, times in milliseconds since 1970. */
export interface ReplayRun {
  /** When the consuming process said that it was ready. */
  readyAt: number;
  backlog: TimedEvent[];
  live: LiveEvent[];
  /** Messages that were settled more than once. */
  repeats: number;
}

export interface LiveEvent {
  answeredAt: number;
  appliedAt: number;
}

export interface ReplayNumbers {
  events: number;
  /** Without the hole, which is told by itself, since ours does not wait it out. */
  originalMs: number;
  appliedMs: number;
  hole: { originalMs: number; appliedMs: number };
  /** The span as a share of what the speed asks for, less one. */
  spanOff: number;
  gapErrorMs: Spread;
  /** From the moment when the service was ready until the first live event was applied. */
  untilLiveMs: number;
  /** From the 200 to the application, of the live events answered after that; applied before the 200 was here counts as 0. */
  live: { count: number; latencyMs: Spread };
  /** The same of all live events, those included that waited for the first to pass. */
  worstLiveMs: number;
  /** How late the last live event was. */
  lagAtEndMs: number;
  repeats: number;
}

export interface Spread {
  p50: number;
  p99: number;
  worst: number;
}

/** Compares what was applied with what came, at the speed that was asked for. */
export function measureReplay(run: ReplayRun, speed: number): ReplayNumbers {
  const inOrder = run.backlog.toSorted((left, right) => left.storedAt - right.storedAt);
  const behind = indexOfHole(inOrder);
  const parts = [inOrder.slice(0, behind), inOrder.slice(behind)].map((part) => rhythmOf(part, speed));
  const sum = (of: (part: (typeof parts)[number]) => number) =>
    parts.reduce((all, part) => all + of(part), 0);
  const originalMs = sum((part) => part.originalMs);
  const appliedMs = sum((part) => part.appliedMs);
  const live = run.live.toSorted((left, right) => left.answeredAt - right.answeredAt);
  const firstLiveAt = Math.min(...live.map(({ appliedAt }) => appliedAt));
  const latencies = live.map(latencyOf);
  const passing = live.filter(({ answeredAt }) => answeredAt >= firstLiveAt).map(latencyOf);
  return {
    events: inOrder.length,
    originalMs,
    appliedMs,
    hole: {
      originalMs: gapBefore(inOrder, behind, 'storedAt'),
      appliedMs: gapBefore(inOrder, behind, 'appliedAt'),
    },
    spanOff: (appliedMs * speed) / originalMs - 1,
    gapErrorMs: spread(parts.flatMap((part) => part.gapErrorsMs)),
    untilLiveMs: Math.max(0, firstLiveAt - run.readyAt),
    live: { count: passing.length, latencyMs: spread(passing) },
    worstLiveMs: Math.max(0, ...latencies),
    lagAtEndMs: latencies.at(-1) ?? 0,
    repeats: run.repeats,
  };
}

const latencyOf = ({ answeredAt, appliedAt }: LiveEvent) => Math.max(0, appliedAt - answeredAt);

/** The event behind the longest pause. */
function indexOfHole(inOrder: readonly TimedEvent[]): number {
  const gaps = inOrder.map((_event, index) => (index === 0 ? 0 : gapBefore(inOrder, index, 'storedAt')));
  return gaps.indexOf(Math.max(...gaps));
}

function gapBefore(events: readonly TimedEvent[], index: number, of: keyof TimedEvent): number {
  return (events[index]?.[of] ?? 0) - (events[index - 1]?.[of] ?? 0);
}

function spread(values: readonly number[]): Spread {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99), worst: Math.max(0, ...values) };
}
