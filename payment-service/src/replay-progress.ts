import { type BacklogPosition, outageBudgetMs } from '@paystream/nats';
import type { Log } from '@paystream/runtime';
import { type Pace, paceFor } from './domain/pacer.ts';
import type { ReplayChange, ReplaySetting } from './replay-store.ts';
import { lagMs } from './replay-types.ts';

export interface ProgressOptions {
  log: Log;
  maxGapMs: number;
  now: () => Date;
  /** Milliseconds that only grow. */
  clock: () => number;
}

/** What is known of the replay at one look. */
export interface Seen {
  /** Undefined as long as the broker has not said it: what is known of the replay holds until then. */
  backlog: BacklogPosition | undefined;
  setting: ReplaySetting;
  change: ReplayChange | undefined;
  leads: boolean;
  settingAside: boolean;
  /** Messages that this process has replayed. */
  done: number;
}

/** Where a replay stands and how fast it is. One per instance; the leading one also tells it in the log. */
export interface Progress {
  /** Takes in what was seen, and gives the pace that follows from it. */
  follow(seen: Seen): Pace;
  /** When the replay began; null: there is none. Undefined as long as this instance has not looked. */
  beganAt(): Date | null | undefined;
  /** What the leading instance knows of it, maybe from before this process. */
  learn(beganAt: Date | null): void;
  state(): { speed: number; guard: boolean; doneAt: Date | undefined };
}

const progressEveryMs = 10_000;
const fasterLine =
  `curl -X PUT <payment-service>/replay -H 'authorization: Bearer <operator token>' ` +
  `-H 'content-type: application/json' -d '{"speed":4,"reason":"catch up"}'`;

export function createProgress({ log, maxGapMs, now, clock }: ProgressOptions): Progress {
  let beganAt: Date | null | undefined;
  let told: { saidAtMs: number; doneBefore: number; since: number } | undefined;
  let pace = { speed: 1, guard: false };
  let doneAt: Date | undefined;

  /** A replay that began before what is oldest now was stored is another one, and over. */
  const followBegin = ({ oldestStoredAt }: BacklogPosition) => {
    if (oldestStoredAt === undefined) beganAt = null;
    else if (!beganAt || beganAt < oldestStoredAt) beganAt = now();
  };

  const rulesOf = ({ setting, change }: Seen) => {
    const { finishWithinMs } = setting;
    const from = Math.max(beganAt?.getTime() ?? now().getTime(), change?.changedAt.getTime() ?? 0);
    const finishAtMs = finishWithinMs === null ? undefined : from + finishWithinMs;
    return { mode: setting.mode, speed: setting.speed, maxGapMs, finishAtMs, maxAgeMs: outageBudgetMs };
  };

  const say = ({ backlog, leads, settingAside, setting, done }: Seen) => {
    const { messages = 0, oldestStoredAt } = backlog ?? {};
    if (!leads) {
      told = undefined;
      return;
    }
    if (messages === 0) {
      if (told !== undefined)
        log.info(
          { done: done - told.doneBefore, tookMs: Math.round(clock() - told.since) },
          'replay.finished',
        );
      told = undefined;
      return;
    }
    // Its size is known when all of it is aside; a paused one has no end to tell.
    if (settingAside || setting.paused !== 'none') return;
    const line = {
      left: messages,
      lagMs: lagMs(oldestStoredAt, now()),
      speed: Number.isFinite(pace.speed) ? pace.speed : 'at once',
      doneAt,
    };
    if (told === undefined) {
      told = { saidAtMs: clock(), doneBefore: done, since: clock() };
      log.info({ ...line, faster: fasterLine }, 'replay.began');
    } else if (clock() - told.saidAtMs >= progressEveryMs) {
      told.saidAtMs = clock();
      log.info({ ...line, done: done - told.doneBefore }, 'replay.progress');
    }
  };

  return {
    follow: (seen) => {
      if (seen.backlog !== undefined) followBegin(seen.backlog);
      const { messages = 0, oldestStoredAt = now(), newestStoredAt = now() } = seen.backlog ?? {};
      const span = { oldestStoredAtMs: oldestStoredAt.getTime(), newestStoredAtMs: newestStoredAt.getTime() };
      const next = paceFor(rulesOf(seen), span, now().getTime());
      if (seen.leads && next.guard && !pace.guard) log.warn({ oldestStoredAt }, 'replay.guard');
      pace = { speed: next.pace.speed, guard: next.guard };
      const has = messages > 0 && seen.setting.paused === 'none';
      doneAt = has ? doneAtOf(span, { nowMs: now().getTime(), speed: pace.speed }) : undefined;
      say(seen);
      return next.pace;
    },
    beganAt: () => beganAt,
    learn: (known) => {
      beganAt = known;
    },
    state: () => ({ ...pace, doneAt }),
  };
}

/** At the latest: gaps above the cap are shorter than they count here. */
function doneAtOf(
  { oldestStoredAtMs, newestStoredAtMs }: { oldestStoredAtMs: number; newestStoredAtMs: number },
  { nowMs, speed }: { nowMs: number; speed: number },
): Date {
  return new Date(nowMs + Math.max(0, newestStoredAtMs - oldestStoredAtMs) / speed);
}
