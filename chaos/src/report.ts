import { table } from '@paystream/local';
import type { Injection } from './injector.ts';
import type { Result } from './run.ts';
import { invariants } from './violation.ts';

/** Whether the run shows what it is to show. */
export function isGood({ violations, traces }: Result): boolean {
  return violations.length === 0 && traces.every(({ count }) => count > 0);
}

/** What a person reads at the end. */
export function reportText(result: Result): string {
  const { counts, violations, quietAfterMs, stoodStillMs, traces, observed, memoryMiB } = result;
  const rows = Object.entries(counts).map(([name, value]) => [inWords(name), value]);
  const seen = Object.entries(observed).map(([name, value]) => [inWords(name), value]);
  return [
    table(['of this run', ''], rows),
    table(['seen in the logs', ''], seen),
    table(
      ['fault', 'times', 'heals in s: median', 'longest', 'traces', ''],
      traces.map(({ fault, trace, count }) => [
        fault,
        ...heals(result.injections.filter((injection) => injection.fault === fault)),
        count,
        trace,
      ]),
    ),
    `  Quiet ${inSeconds(quietAfterMs)} s after the last fault. Memory at most: ${Object.entries(memoryMiB)
      .map(([name, value]) => `${name} ${value} MiB`)
      .join(', ')}.\n  The harness itself stood still for ${stoodStillMs} ms at most.`,
    violationText(result),
    verdict(result, violations.length),
  ].join('\n\n');
}

const inWords = (name: string) =>
  name
    .replaceAll('-', ' ')
    .replace(/[A-Z]|\d+/g, (part) => ` ${part.toLowerCase()}`)
    .replace(/ ms$/, ', ms');
const inSeconds = (ms: number) => Number((ms / 1_000).toFixed(1));

function heals(injections: readonly Injection[]): [number, number, number] {
  const times = injections.map(({ healMs }) => healMs ?? Number.POSITIVE_INFINITY).toSorted((a, b) => a - b);
  const median = times[Math.floor((times.length - 1) / 2)] ?? 0;
  return [injections.length, inSeconds(median), inSeconds(times.at(-1) ?? 0)];
}

const shownMax = 20;

function violationText({ violations }: Result): string {
  const shown = violations
    .slice(0, shownMax)
    .map(({ kind, what }) => `  BROKEN ${kind} (${invariants[kind]}): ${what}`);
  const more = violations.length - shown.length;
  return [...shown, ...(more > 0 ? [`  and ${more} more, all in the report`] : [])].join('\n');
}

function verdict({ seed, traces }: Result, violations: number): string {
  const silent = traces.filter(({ count }) => count === 0).map(({ fault }) => fault);
  if (violations > 0) return `  ${violations} violations. Again with --seed ${seed}.`;
  if (silent.length > 0)
    return `  No trace of ${silent.join(', ')}: this run proves nothing about it. Seed ${seed}.`;
  return `  Nothing lost, nothing invented, nothing twice. Seed ${seed}.`;
}
