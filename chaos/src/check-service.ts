import type { Answer, Attempt, History, Window } from './history.ts';
import type { Violation, ViolationKind } from './violation.ts';

/** Providers give up after 10 s; the promise is half of that. */
export const answerWithinMs = 5_000;
export const stopWithinMs = 10_000;
export const memoryMaxMiB = 300;

/** A connection that waits in the kernel when a gateway stops listening is broken: that one came too late. */
const lateMs = 100;

/** Whether the processes kept their word: answers in time and never too early, clean ends, limits, a good end. */
export function checkService(history: History): Violation[] {
  const { crashes, unhealed, left, memory, stops } = history;
  return [
    ...history.attempts.flatMap((attempt) => checkAttempt(attempt, history)),
    ...stops
      .filter(({ code, tookMs }) => code !== 0 || tookMs > stopWithinMs)
      .map(({ process, code, signal, tookMs }) =>
        violation('bad-stop', `${process}: ${signal ?? `exit code ${code}`} after ${Math.round(tookMs)} ms`),
      ),
    ...crashes.map(({ process, how }) => violation('crashed', `${process}: ${how}`)),
    ...unhealed.map((fault) => violation('not-healed', fault)),
    ...left.map((what) => violation('not-drained', what)),
    ...memory
      .filter(({ rssMiB }) => rssMiB > memoryMaxMiB)
      .map(({ process, rssMiB }) => violation('too-large', `${process}: ${rssMiB} MiB`)),
  ];
}

const violation = (kind: ViolationKind, what: string): Violation => ({ kind, what });

function checkAttempt(attempt: Attempt, { windows, beganAtMs }: History): Violation[] {
  const { label, gateway, answer, sentAtMs, endedAtMs } = attempt;
  const at = `sent at ${((sentAtMs - beganAtMs) / 1_000).toFixed(1)} s`;
  const what = `${label} from ${gateway}, ${at}: ${inWords(answer)} after ${Math.round(endedAtMs - sentAtMs)} ms`;
  // A repeat is another matter: that it is stored can have been known before.
  const impossible = windows.some(
    (window) =>
      window.kind === 'broker-away' &&
      window.gateway === gateway &&
      sentAtMs >= window.fromMs &&
      endedAtMs <= window.toMs,
  );
  const early =
    impossible && answer.kind === 'stored' && !answer.duplicate
      ? [violation('answered-without-broker', what)]
      : [];
  if (isExcused(attempt, windows)) return early;
  const late = endedAtMs - sentAtMs > answerWithinMs ? [violation('slow-answer', what)] : [];
  const none = answer.kind === 'none' ? [violation('no-answer', what)] : [];
  return [...early, ...late, ...none];
}

function inWords(answer: Answer): string {
  switch (answer.kind) {
    case 'stored':
      return '200';
    case 'refused':
      return String(answer.status);
    case 'none':
      return answer.detail;
    default:
      return answer satisfies never;
  }
}

/** Whether the gateway, or the way to it, was out of order while this request was under way. */
export function isExcused(attempt: Attempt, windows: readonly Window[]): boolean {
  const { gateway, sentAtMs, endedAtMs } = attempt;
  return windows.some((window) => {
    if (window.gateway !== gateway || window.kind === 'broker-away') return false;
    const sinceMs = window.kind === 'gateway-stopping' ? sentAtMs + lateMs : endedAtMs;
    return sinceMs >= window.fromMs && sentAtMs <= window.toMs;
  });
}
