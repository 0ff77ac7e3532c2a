/** One event on its line: when it came and when it was applied, both from the first of the backlog on. */
export interface Beat {
  kind: 'backlog' | 'live';
  cameMs: number;
  appliedMs: number;
  /** How far from where it should be: for a live event, how long it took. */
  differenceMs: number;
}

export interface RhythmOptions {
  /** How much time a lane shows. */
  cameMs: number;
  appliedMs: number;
  colours: boolean;
}

const laneWidth = 26;
const marks = { backlog: '●', live: '◆' } as const;
// Cyan and green: both are read on a dark and on a light ground.
const colourOf = { backlog: '\u001b[36m', live: '\u001b[32m' } as const;
const colourEnd = '\u001b[39m';

/** What stands above the lines of `drawBeat`. */
export function drawHead({ cameMs, appliedMs }: RhythmOptions): string {
  const lane = (title: string, spanMs: number) => `${title} (${seconds(spanMs)} wide)`.padEnd(laneWidth);
  return [
    columns(['', 'came', 'applied', 'difference', lane('came', cameMs), lane('applied', appliedMs)]),
    columns(['-------', '--------', '--------', '----------', '-'.repeat(laneWidth), '-'.repeat(laneWidth)]),
  ].join('\n');
}

/** Two lanes of time, from left to right: the same picture in both is the same rhythm. */
export function drawBeat(beat: Beat, { cameMs, appliedMs, colours }: RhythmOptions): string {
  const { kind } = beat;
  const line = columns([
    kind,
    // A live event came after the outage: the left lane ends before it.
    kind === 'live' ? '' : seconds(beat.cameMs),
    seconds(beat.appliedMs),
    `${beat.differenceMs >= 0 ? '+' : ''}${Math.round(beat.differenceMs)} ms`,
    kind === 'live' ? ' '.repeat(laneWidth) : lane(marks[kind], beat.cameMs / cameMs),
    lane(marks[kind], beat.appliedMs / appliedMs),
  ]);
  return colours ? `${colourOf[kind]}${line}${colourEnd}` : line;
}

function lane(mark: string, share: number): string {
  const column = Math.min(laneWidth - 1, Math.max(0, Math.round(share * (laneWidth - 1))));
  return `${' '.repeat(column)}${mark}`.padEnd(laneWidth);
}

function columns([
  kind = '',
  came = '',
  applied = '',
  difference = '',
  left = '',
  right = '',
]: string[]): string {
  return `  ${kind.padEnd(7)}  ${came.padStart(8)}  ${applied.padStart(8)}  ${difference.padStart(10)}   |${left}|${right}|`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(3)} s`;
}
