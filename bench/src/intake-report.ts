import type { IntakeResult } from './intake-bench.ts';
import { numberText, ratioText, spreadText } from './spread.ts';
import type { Goal, Table } from './tables.ts';

/** A row for each target and number of connections. */
export function intakeTable(results: readonly IntakeResult[]): Table {
  return {
    head: [
      '',
      'connections',
      'requests/s',
      'p50 (ms)',
      'p99 (ms)',
      'fsyncs a request',
      'CPU a request: service (µs)',
      'broker (µs)',
      'generator busy',
      'refused',
      'failed',
      'lost',
    ],
    rows: results.map((result) => [
      result.title,
      String(result.connections),
      spreadText(result.perSecond),
      spreadText(result.p50),
      spreadText(result.p99),
      result.fsyncs === undefined ? '–' : numberText(result.fsyncs),
      result.cpu === undefined ? '–' : numberText(Math.round(result.cpu.service.median)),
      result.cpu?.broker === undefined ? '–' : numberText(Math.round(result.cpu.broker.median)),
      `${Math.round(result.generatorBusy.median * 100)} %`,
      String(result.refused),
      String(result.failed),
      String(result.lost),
    ]),
  };
}

/** Medians against medians of the same run. */
export function intakeGoals(results: readonly IntakeResult[]): Goal[] {
  return [...new Set(results.map(({ connections }) => connections))].flatMap((connections) => {
    const of = (name: string) =>
      results.find((result) => result.name === name && result.connections === connections);
    const [ours, plain, floor] = [of('ours'), of('plain'), of('floor')];
    if (ours === undefined || plain === undefined || floor === undefined) return [];
    const times = ours.perSecond.median / plain.perSecond.median;
    const share = ours.perSecond.median / floor.perSecond.median;
    return [
      {
        what: `requests/s against the plain design, ${connections} connections`,
        goal: 'at least 2.0 times',
        measured: `${ratioText(times)} times`,
        met: times >= 2,
      },
      {
        what: `p99 against the plain design, ${connections} connections`,
        goal: 'lower',
        measured: `${numberText(ours.p99.median)} ms against ${numberText(plain.p99.median)} ms`,
        met: ours.p99.median < plain.p99.median,
      },
      {
        what: `requests/s against \`node:http\` alone, ${connections} connections`,
        goal: 'at least 0.25',
        measured: ratioText(share),
        met: share >= 0.25,
      },
    ];
  });
}
