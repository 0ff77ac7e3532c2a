import { cpus, totalmem } from 'node:os';
import type { Result } from './run.ts';

/** What the page of numbers shows of some runs. */
export function numbersSection(results: readonly Result[]): string {
  return [machineLine(results), seedTable(results), faultTable(results), violationLine(results)].join('\n\n');
}

function machineLine(results: readonly Result[]): string {
  const { node, natsServer, mongod } = results[0]?.versions ?? { node: '', natsServer: '', mongod: '' };
  const memoryGiB = Math.round(totalmem() / 2 ** 30);
  return (
    `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, ${memoryGiB} GiB, ` +
    `${process.platform} ${process.arch}, all on one machine, harness included. Node ${node}, nats-server ${natsServer} ` +
    `(sync_interval: always), mongod ${mongod} (one node, w: majority, j: true). Faults for ${results[0]?.minutes ?? 0} minutes a run.`
  );
}

const row = (cells: readonly unknown[]) => `| ${cells.join(' | ')} |`;
const markdown = (head: readonly string[], rows: readonly (readonly unknown[])[]) =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
const inSeconds = (ms: number) => (Number.isFinite(ms) ? `${(ms / 1_000).toFixed(1)} s` : 'over a minute');

function seedTable(results: readonly Result[]): string {
  const head = [
    ...[
      'seed',
      'faults',
      'sent',
      'requests',
      '200',
      '503',
      'no answer',
      'applied',
      'duplicates',
      'conflicts',
    ],
    ...[
      'dead letters',
      'redelivered',
      '**lost**',
      '**invented**',
      '**twice**',
      'longest answer',
      'quiet after',
    ],
  ];
  return markdown(
    head,
    results.map(({ seed, injections, counts, observed, quietAfterMs }) => [
      ...[seed, injections.length, counts.sent, counts.requests, counts.answered200, counts.answered503],
      ...[counts.unknown, counts.applied, counts.duplicates, counts.conflicts, counts.deadLetters],
      ...[observed.redelivered, counts.lost, counts.invented, counts.twice],
      ...[inSeconds(counts.longestAnswerMs), inSeconds(quietAfterMs)],
    ]),
  );
}

/** Only what came alone: two faults at a time heal together, and not by the one or the other. */
function faultTable(results: readonly Result[]): string {
  const all = results.flatMap(({ injections }) => injections);
  const names = [...new Set(all.map(({ fault }) => fault))].toSorted();
  return markdown(
    ['fault', 'times', 'alone', 'heals: median', 'longest'],
    names.map((name) => {
      const times = all.filter(({ fault }) => fault === name);
      const heals = times
        .filter(({ alone }) => alone)
        .map(({ healMs }) => healMs ?? Number.POSITIVE_INFINITY)
        .toSorted((left, right) => left - right);
      const median = heals[Math.floor((heals.length - 1) / 2)] ?? 0;
      return [`\`${name}\``, times.length, heals.length, inSeconds(median), inSeconds(heals.at(-1) ?? 0)];
    }),
  );
}

function violationLine(results: readonly Result[]): string {
  const count = results.reduce((sum, { violations }) => sum + violations.length, 0);
  const stoodStillMs = Math.max(...results.map((result) => result.stoodStillMs));
  return (
    `The harness, through which all answers pass and which times them, stood still for ${stoodStillMs} ms at most. ` +
    (count === 0 ? 'No promise was broken.' : `${count} promises were broken; see the report.`)
  );
}
