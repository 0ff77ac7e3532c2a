import { type Machine, machineLine } from './machine.ts';
import type { ReplaySettings, VariantResult } from './replay-bench.ts';
import type { Spread } from './replay-numbers.ts';
import { markdownTable, type Table } from './tables.ts';

const head = [
  'variant',
  'span',
  'off',
  'hole',
  'gap p50',
  'gap p99',
  'first live',
  'live p50',
  'live p99',
  'worst live',
  'lag at end',
];

/** A row for each variant; times in milliseconds. */
export function replayTable(results: readonly VariantResult[]): Table {
  const rows = results.map(({ variant, numbers }) => [
    variant.title,
    `${numbers.appliedMs} of ${numbers.originalMs}`,
    `${(numbers.spanOff * 100).toFixed(2)} %`,
    `${numbers.hole.appliedMs} of ${numbers.hole.originalMs}`,
    ...p50p99(numbers.gapErrorMs),
    String(numbers.untilLiveMs),
    ...p50p99(numbers.live.latencyMs),
    String(numbers.worstLiveMs),
    String(numbers.lagAtEndMs),
  ]);
  return { head, rows };
}

const p50p99 = ({ p50, p99 }: Spread) => [String(Math.round(p50)), String(Math.round(p99))];

/** The section of docs/numbers.md. */
export function replaySection(
  results: readonly VariantResult[],
  settings: ReplaySettings,
  machine: Machine,
): string {
  const { events, gapMs, holeMs, liveEveryMs } = settings;
  return `${markdownTable(replayTable(results))}

![When each event of the backlog was applied, and how late live payments were](replay.svg)

${events} events, ${gapMs} ms apart, with one hole of ${holeMs} ms; live events at ${1_000 / liveEveryMs} a second from the moment
when the service is ready. Measured with \`npm run bench -- replay --write-docs\`. ${machineLine(machine)}`;
}
