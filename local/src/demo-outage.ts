import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendJson, untilRecorded } from './demo-http.ts';
import { drawBeat, drawHead, type RhythmOptions } from './demo-rhythm.ts';
import { atOffsets } from './paced.ts';
import { quantile, rhythmOf } from './rhythm.ts';
import type { Settled } from './settled.ts';
import type { Stack } from './stack.ts';

export interface OutageOptions {
  stack: Stack;
  speed: number;
  /** Calls back for every message that the payment-service is done with. Returns the function that ends it. */
  onSettled: (listener: (settled: Settled) => void) => () => void;
  colours: boolean;
}

// Four close together, a pause, four less close, a pause: 40 events in 8 s that nobody takes for an even rate.
const beat = [50, 50, 50, 700, 120, 120, 120, 490];
const beats = 5;
const offsetsMs = Array.from({ length: beats * beat.length }, (_, event) =>
  Array.from({ length: event }, (_gap, index) => beat[index % beat.length] ?? 0).reduce((a, b) => a + b, 0),
);
const spanMs = offsetsMs.at(-1) ?? 0;
const liveEveryMs = 350;
// Generous, since a demo must not fail on a busy machine; `npm run bench -- replay` measures what it really is.
const spanOffMax = 0.05;
const liveMaxMs = 1_000;
// Above what it takes on its own: the start of the service, and a busy machine.
const slackMs = 20_000;

/** What `playOutage` needs of the configuration. The service starts in a second, and what waits then is a backlog. */
export const outageEnv = { REPLAY_LIVE_WITHIN: '250ms' };

/** Stops the payment-service while webhooks come, starts it again, and throws when the replay is not as promised. */
export async function playOutage(options: OutageOptions): Promise<void> {
  const { stack, speed } = options;
  await stack.stopPayments();
  const sent = await sendWhileAway(stack);
  const replay = watchReplay(options, new Set(sent));
  try {
    await stack.startPayments();
    const live = await sendLiveUntil(stack, replay.over);
    await replay.over;
    await replay.untilApplied(live);
    await checkOnce(stack, [...sent, ...live]);
    console.log(`\n${conclusion(replay, speed)}\n`);
  } finally {
    replay.stop();
  }
}

async function sendWhileAway({ gatewayUrl }: Stack): Promise<string[]> {
  const txIds = offsetsMs.map(() => randomUUID());
  process.stdout.write(
    '  The payment-service is stopped. Each dot is a webhook that was answered 200:\n\n  ',
  );
  await atOffsets(offsetsMs, async (index) => {
    await sendOne(gatewayUrl, txIds[index] ?? '', `while it was away, ${index + 1}`);
    process.stdout.write('·');
  });
  console.log(
    `\n\n  ${txIds.length} webhooks in ${(spanMs / 1_000).toFixed(1)} s. The payment-service is started: each line is an event when it is applied.\n` +
      '  The difference is how far it is from its place in the rhythm; for a live payment, how long it took.\n',
  );
  return txIds;
}

async function sendOne(gatewayUrl: string, txId: string, note: string): Promise<void> {
  const { status, body } = await sendJson(`${gatewayUrl}/webhooks/x-payment`, {
    txId,
    action: 'NEW',
    amount: 1_000,
    note,
  });
  if (status !== 200) throw new Error(`a webhook was answered ${status} ${JSON.stringify(body)}`);
}

interface ReplayWatch {
  backlog: Settled[];
  live: Settled[];
  /** Resolves when all of the backlog is applied; rejects when it is not in time. */
  over: Promise<void>;
  untilApplied(txIds: readonly string[]): Promise<void>;
  stop(): void;
}

/** Draws each event when it is applied. */
function watchReplay({ speed, onSettled, colours }: OutageOptions, sent: ReadonlySet<string>): ReplayWatch {
  const lanes: RhythmOptions = { cameMs: spanMs, appliedMs: spanMs / speed, colours };
  const backlog: Settled[] = [];
  const live: Settled[] = [];
  const draw = (settled: Settled, kind: 'backlog' | 'live') => {
    const first = backlog[0] ?? settled;
    const cameMs = settled.storedAt - first.storedAt;
    const appliedMs = settled.appliedAt - first.appliedAt;
    const differenceMs = kind === 'live' ? settled.appliedAt - settled.storedAt : appliedMs - cameMs / speed;
    console.log(drawBeat({ kind, cameMs, appliedMs, differenceMs }, lanes));
  };
  let isOver: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    isOver = resolve;
  });
  const stop = onSettled((settled) => {
    if (backlog.length + live.length === 0) console.log(drawHead(lanes));
    const kind = sent.has(settled.txId) ? 'backlog' : 'live';
    (kind === 'backlog' ? backlog : live).push(settled);
    draw(settled, kind);
    if (backlog.length >= sent.size) isOver();
  });
  const untilApplied = async (txIds: readonly string[]) => {
    const deadline = performance.now() + slackMs;
    while (!txIds.every((txId) => live.some((settled) => settled.txId === txId))) {
      if (performance.now() > deadline) throw new Error('a live payment was not applied');
      await sleep(10);
    }
  };
  return {
    backlog,
    live,
    over: inTime(
      over,
      spanMs / speed + slackMs,
      () => `${backlog.length} of ${sent.size} events were applied`,
    ),
    untilApplied,
    stop,
  };
}

function inTime(work: Promise<void>, withinMs: number, problem: () => string): Promise<void> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`${problem()} in time`)), withinMs).unref();
  });
  const first = Promise.race([work, late]);
  // Whoever waits for it is told; nobody does when something else has failed before.
  first.catch(() => undefined);
  return first;
}

async function sendLiveUntil({ gatewayUrl }: Stack, over: Promise<void>): Promise<string[]> {
  const txIds: string[] = [];
  let ended = false;
  const end = () => {
    ended = true;
  };
  over.then(end, end);
  while (!ended) {
    const txId = randomUUID();
    await sendOne(gatewayUrl, txId, 'live');
    txIds.push(txId);
    await Promise.race([sleep(liveEveryMs), over]);
  }
  return txIds;
}

async function checkOnce({ paymentUrl }: Stack, txIds: readonly string[]): Promise<void> {
  for (const txId of txIds) {
    const { actionHistory } = await untilRecorded(`${paymentUrl}/transactions/${txId}`, 1);
    if (actionHistory.length !== 1) throw new Error(`${txId} has ${actionHistory.length} events`);
  }
}

/** The summary; throws where it would not be true. */
function conclusion({ backlog, live }: ReplayWatch, speed: number): string {
  const { originalMs, appliedMs, gapErrorsMs } = rhythmOf(backlog, speed);
  const off = (appliedMs * speed) / originalMs - 1;
  const lags = backlog.map(({ storedAt, appliedAt }) => ((appliedAt - storedAt) / 1_000).toFixed(1));
  const latencies = live.map(({ storedAt, appliedAt }) => appliedAt - storedAt);
  const worstMs = Math.max(...latencies);
  const text = [
    `  ${backlog.length} events, each applied once, at speed ${speed}.`,
    `  They came over ${originalMs} ms and were applied over ${appliedMs} ms: ${percent(off)} off.`,
    `  The first was applied ${lags[0]} s after it came, the last ${lags.at(-1)} s.`,
    `  Gaps: ${Math.max(...gapErrorsMs)} ms off at most, ${quantile(gapErrorsMs, 0.5)} ms in the middle.`,
    `  Live payments meanwhile: ${live.length}, applied ${quantile(latencies, 0.5)} ms after the broker had them; the slowest ${worstMs} ms.`,
  ].join('\n');
  const wasOnce = new Set(backlog.map(({ txId }) => txId)).size === backlog.length;
  if (!wasOnce || [...backlog, ...live].some(({ outcome }) => outcome !== 'applied')) {
    throw new Error(`not every event was applied exactly once\n${text}`);
  }
  if (Math.abs(off) > spanOffMax) throw new Error(`the span is more than 5 % off\n${text}`);
  if (worstMs > liveMaxMs) throw new Error(`a live payment had to wait\n${text}`);
  return text;
}

function percent(share: number): string {
  return `${share >= 0 ? '+' : ''}${(share * 100).toFixed(2)} %`;
}
