import type { ApplyResult } from './apply-bench.ts';
import type { FlowResult } from './flow-bench.ts';
import type { Footprint } from './footprint-bench.ts';
import type { GrowthResult } from './growth-bench.ts';
import { numberText, ratioText, spreadOf, spreadText } from './spread.ts';
import type { Goal, Table } from './tables.ts';

export function applyTable(results: readonly ApplyResult[]): Table {
  return {
    head: ['', 'events/s', 'wrong in the record'],
    rows: results.map(({ title, perSecond, wrong }) => [title, spreadText(perSecond), String(wrong ?? '–')]),
  };
}

export function applyGoals(results: readonly ApplyResult[]): Goal[] {
  const rate = (name: ApplyResult['name']) =>
    results.find((result) => result.name === name)?.perSecond.median ?? Number.NaN;
  const times = rate('ours') / rate('plain');
  const share = rate('ours') / rate('acks');
  return [
    {
      what: 'events/s against the plain design',
      goal: 'at least 10 times',
      measured: `${ratioText(times)} times`,
      met: times >= 10,
    },
    {
      what: "events/s against the broker's synced acknowledgements",
      goal: 'at least 0.8',
      measured: ratioText(share),
      met: share >= 0.8,
    },
  ];
}

export function flowTable({ capacity, runs }: FlowResult): Table {
  return {
    head: [
      `of ${numberText(capacity)}/s`,
      'asked for /s',
      '200s /s',
      '200 p50 (ms)',
      'p99',
      'readable p50 (ms)',
      'p99',
      'worst',
      'behind at the end (ms)',
      'refused',
      'failed',
      'lost',
    ],
    rows: runs.map((run) =>
      [
        `${run.share * 100} %`,
        run.askedPerSecond,
        numberText(run.okPerSecond),
        run.answerMs.p50,
        run.answerMs.p99,
        run.readableMs.p50,
        run.readableMs.p99,
        run.readableMs.worst,
        run.catchUpMs,
        run.refused,
        run.failed,
        run.lost,
      ].map(String),
    ),
  };
}

export function flowGoals({ runs }: FlowResult): Goal[] {
  const lost = runs.reduce((sum, run) => sum + run.lost, 0);
  return [
    ...runs
      .filter(({ share }) => share === 0.5)
      .map(({ readableMs }) => ({
        what: '200 to readable in MongoDB at 50 %',
        goal: 'p99 under 150 ms',
        measured: `${readableMs.p99} ms`,
        met: readableMs.p99 < 150,
      })),
    { what: 'answered 200 and not in the database', goal: '0', measured: String(lost), met: lost === 0 },
  ];
}

export function growthTables({ sizes, histories }: GrowthResult): Table[] {
  return [
    {
      head: [
        'stored transactions',
        'events/s',
        'then to the files (ms)',
        'read p50 (ms)',
        'p99',
        'list p50 (ms)',
        'p99',
      ],
      rows: sizes.map(({ stored, perSecond, checkpointMs, read, list }) => [
        stored.toLocaleString('en'),
        spreadText(spreadOf(perSecond)),
        spreadText(spreadOf(checkpointMs)),
        ...[read.p50, read.p99, list.p50, list.p99].map(String),
      ]),
    },
    {
      head: ['events in a history', 'events/s'],
      rows: histories.map(({ events, perSecond }) => [
        events.toLocaleString('en'),
        spreadText(spreadOf(perSecond)),
      ]),
    },
  ];
}

export function growthGoals({ sizes }: GrowthResult): Goal[] {
  const [least, most] = [sizes[0], sizes.at(-1)];
  if (least === undefined || most === undefined) return [];
  const share = spreadOf(most.perSecond).median / spreadOf(least.perSecond).median;
  return [
    {
      what: `events/s at ${most.stored.toLocaleString('en')} transactions against ${least.stored.toLocaleString('en')}`,
      goal: 'at least 0.9',
      measured: ratioText(share),
      met: share >= 0.9,
    },
  ];
}

export function footprintTables(results: readonly Footprint[]): Table[] {
  const overTime = {
    head: [
      'service',
      'memory over the time under load (MiB)',
      'growth after the first quarter (MiB an hour)',
    ],
    rows: results.map(({ service, overTime, mibAnHour }) => [
      service,
      overTime.map(({ seconds, mib }) => `${seconds} s: ${mib}`).join(', '),
      numberText(mibAnHour),
    ]),
  };
  return [footprintTable(results), overTime];
}

function footprintTable(results: readonly Footprint[]): Table {
  return {
    head: [
      'service',
      'start to ready (ms)',
      'idle (MiB)',
      'under load, first half (MiB)',
      'second half (MiB)',
      'CPU for 1,000 webhooks (ms)',
    ],
    rows: results.map((result) =>
      [
        result.service,
        result.readyMs,
        result.idleMiB,
        result.firstHalfMiB,
        result.secondHalfMiB,
        result.cpuMsPerThousand ?? '–',
      ].map(String),
    ),
  };
}

export function footprintGoals(results: readonly Footprint[]): Goal[] {
  return results.map(({ service, mostMiB }) => ({
    what: `memory of the ${service} under load`,
    goal: 'under 200 MB',
    measured: `${mostMiB} MiB`,
    met: mostMiB * 1.048_576 < 200,
  }));
}
