import type { BacklogResult, BacklogSettings } from './backlog-bench.ts';
import { type Machine, machineLine } from './machine.ts';
import { markdownTable, type Table } from './tables.ts';

const head = [
  'backlog',
  'until live passes (ms)',
  'live p50 (ms)',
  'p99',
  'worst',
  'memory at start (MiB)',
  'max',
  'at the end',
];

/** A row for each size. */
export function backlogTable(results: readonly BacklogResult[]): Table {
  const rows = results.map(({ events, untilLiveMs, live, memoryMiB }) =>
    [
      events,
      untilLiveMs,
      live.p50,
      live.p99,
      live.worst,
      memoryMiB.atStart,
      memoryMiB.max,
      memoryMiB.atEnd,
    ].map(String),
  );
  return { head, rows };
}

/** The section of docs/numbers.md. */
export function backlogSection(
  results: readonly BacklogResult[],
  { batch, batchEveryMs, liveEveryMs, watchForMs }: BacklogSettings,
  machine: Machine,
): string {
  const curves = results.map(
    ({ events, memory }) =>
      `| ${events} | ${everySeconds(memory)
        .map(({ ms, rssMiB }) => `${Math.round(ms / 1_000)} s: ${rssMiB}`)
        .join(', ')} |`,
  );
  return `${markdownTable(backlogTable(results))}

| backlog | memory over the time since ready (MiB) |
| ---: | --- |
${curves.join('\n')}

Written at ${(batch * 1_000) / batchEveryMs} a second; live events at ${1_000 / liveEveryMs} a second from the moment when the service is ready, watched for ${watchForMs / 1_000} s
after the first one passed. Live latencies are those of the events answered after that. Memory is the resident set of
the payment-service, run from its source by tsx. Measured with \`npm run bench -- backlog --write-docs\`. ${machineLine(machine)}`;
}

/** At most a dozen samples, the first and the last among them. */
function everySeconds<T>(samples: readonly T[]): T[] {
  const every = Math.max(1, Math.ceil(samples.length / 11));
  return samples.filter((_, index) => index % every === 0 || index === samples.length - 1);
}
