import {
  type BacklogPosition,
  type Delivery,
  outageBudgetMs,
  readBacklog,
  readPaymentPosition,
} from '@paystream/nats';
import { describeError, pause } from '@paystream/runtime';
import { paceFor } from './domain/pacer.ts';
import type { ReplayChange } from './replay-store.ts';
import { lagMs, type Replay, type ReplayOptions, type ReplayState } from './replay-types.ts';
import { StoreUnavailable } from './store.ts';

const followEveryMs = 500;
// Another instance goes on this long after the one that replays has died without a word.
const leaseMs = 3_000;
const progressEveryMs = 10_000;
const looking = 'looking for a backlog';
const byOperator = 'paused by an operator';
const brokerAway = 'the broker is away';
const byOther = 'another instance replays';
const empty: BacklogPosition = { messages: 0, oldestStoredAt: undefined, newestStoredAt: undefined };

/**
 * Decides what is a backlog and who replays it how. One instance at a time leads: it sets aside and replays, while
 * the others go on with live payments as soon as the backlog is out of their way.
 */
export function createReplay(options: ReplayOptions): Replay {
  const { broker, live, backlog, store, log, defaults, maxGapMs, liveWithinMs, owner, now } = options;
  const stopping = new AbortController();
  let setting = defaults;
  let change: ReplayChange | undefined;
  let leads = false;
  let boundary: { sequence: number; before: Date } | undefined;
  let settingAside: { since: number; count: number } | undefined;
  let looks: Promise<void> | undefined;
  let position = empty;
  let pace = { speed: defaults.speed, guard: false };
  let began: { at: Date; saidAt: number; done: number } | undefined;
  let running: Promise<void> | undefined;

  const begin = () => {
    if (stopping.signal.aborted) return;
    live.pause(looking, { keepHeld: true });
    looks ??= look()
      .catch((error: unknown) => log.error({ error: describeError(error) }, 'backlog.look-failed'))
      .finally(() => {
        looks = undefined;
        live.resume(looking);
      });
  };

  const look = async () => {
    boundary = undefined;
    for (; !stopping.signal.aborted; await pause(200, stopping.signal)) {
      if (setting.mode === 'instant') return;
      const at = await readPaymentPosition(broker).catch(() => undefined);
      if (at === undefined || setting.paused === 'all') continue;
      const before = new Date(at.askedAt.getTime() - liveWithinMs);
      if (boundary === undefined) {
        if (at.oldestStoredAt === undefined || at.oldestStoredAt >= before) return;
        boundary = { sequence: at.lastSequence, before };
      }
      if (at.deliveredThrough >= boundary.sequence) return;
      if (leads) {
        settingAside = { since: performance.now(), count: 0 };
        log.info({ messages: at.messages, oldestStoredAt: at.oldestStoredAt }, 'backlog.found');
        return;
      }
    }
  };

  const sift = async (deliveries: readonly Delivery[]) => {
    const edge = boundary;
    if (edge === undefined) return deliveries;
    const old = deliveries.filter(
      ({ sequence, storedAt }) => sequence <= edge.sequence && storedAt < edge.before,
    );
    const outcomes = await options.setAside.setAside(old);
    const settled = new Set<Delivery>();
    for (const [index, delivery] of old.entries()) {
      const outcome = outcomes[index];
      if (outcome?.kind === 'full') continue;
      settled.add(delivery);
      await live.settle(delivery, outcome?.kind === 'aside' ? { kind: 'ack' } : { kind: 'release' });
    }
    const full = old.length - settled.size;
    if (full > 0) log.warn({ count: full }, 'backlog.full');
    if (settingAside !== undefined) settingAside.count += settled.size;
    return deliveries.filter((delivery) => !settled.has(delivery));
  };

  const finishSettingAside = async () => {
    if (settingAside === undefined || boundary === undefined) return;
    const { deliveredThrough } = await readPaymentPosition(broker);
    if (deliveredThrough < boundary.sequence) return;
    const tookMs = Math.round(performance.now() - settingAside.since);
    log.info({ count: settingAside.count, tookMs }, 'backlog.set-aside');
    settingAside = undefined;
  };

  const followOnce = async () => {
    const candidate = broker.state().up && !stopping.signal.aborted;
    const followed = await store.follow({ owner, candidate, leaseMs });
    if (leads && !followed.leads) await backlog.giveBack();
    leads = followed.leads;
    change = followed.change;
    setting = change?.setting ?? defaults;
    obey();
    if (!candidate) return;
    await finishSettingAside();
    position = await readBacklog(broker);
    setPace();
    sayProgress();
  };

  /** Does what is set: what stands still, and who may move. */
  const obey = () => {
    const { paused } = setting;
    if (paused === 'all') live.pause(byOperator);
    else if (live.state().pausedFor.includes(byOperator)) {
      begin();
      live.resume(byOperator);
    }
    if (paused === 'none') backlog.go(byOperator);
    else backlog.hold(byOperator);
    if (leads) backlog.go(byOther);
    else backlog.hold(byOther);
  };

  const setPace = () => {
    const { oldestStoredAt, newestStoredAt } = position;
    if (oldestStoredAt === undefined || newestStoredAt === undefined) {
      began = undefined;
      return;
    }
    began ??= { at: now(), saidAt: Number.NEGATIVE_INFINITY, done: backlog.state().done };
    const from = Math.max(began.at.getTime(), change?.changedAt.getTime() ?? 0);
    const { finishWithinMs } = setting;
    const next = paceFor(
      {
        ...setting,
        maxGapMs,
        finishAtMs: finishWithinMs === null ? undefined : from + finishWithinMs,
        maxAgeMs: outageBudgetMs,
      },
      { oldestStoredAtMs: oldestStoredAt.getTime(), newestStoredAtMs: newestStoredAt.getTime() },
      now().getTime(),
    );
    if (next.guard && !pace.guard) log.warn({ oldestStoredAt }, 'replay.guard');
    pace = { speed: next.pace.speed, guard: next.guard };
    backlog.setPace(next.pace);
  };

  const sayProgress = () => {
    if (!leads || began === undefined || performance.now() - began.saidAt < progressEveryMs) return;
    const first = began.saidAt === Number.NEGATIVE_INFINITY;
    began.saidAt = performance.now();
    const { messages, oldestStoredAt } = position;
    const line = { left: messages, speed: pace.speed, lagMs: lagMs(oldestStoredAt, now()), doneAt: doneAt() };
    if (first) log.info({ ...line, faster: fasterLine }, 'replay.began');
    else log.info({ ...line, done: backlog.state().done - began.done }, 'replay.progress');
  };

  /** At the latest: gaps above the cap are shorter than they count here. */
  const doneAt = () => {
    const { oldestStoredAt, newestStoredAt } = position;
    if (oldestStoredAt === undefined || newestStoredAt === undefined) return undefined;
    return new Date(now().getTime() + (newestStoredAt.getTime() - oldestStoredAt.getTime()) / pace.speed);
  };

  const run = async () => {
    while (!stopping.signal.aborted) {
      try {
        await followOnce();
      } catch (error) {
        // The database or the broker is away; whoever works with it has said so and waits for it.
        if (!(error instanceof StoreUnavailable))
          log.debug({ error: describeError(error) }, 'replay.follow-failed');
      }
      await pause(followEveryMs, stopping.signal);
    }
  };

  const stopListening = broker.onChange(({ up }) => {
    if (up) {
      begin();
      backlog.go(brokerAway);
    } else {
      live.pause(looking, { keepHeld: true });
      backlog.hold(brokerAway);
    }
  });
  backlog.hold(byOther);

  const stateWord = (): ReplayState['state'] => {
    if (setting.paused !== 'none') return 'paused';
    if (settingAside !== undefined) return 'setting-aside';
    return position.messages > 0 ? 'replaying' : 'live';
  };

  return {
    begin,
    sift,
    followOnce,
    run: () => {
      running ??= run();
      return running;
    },
    stop: async () => {
      stopping.abort();
      stopListening();
      await Promise.all([looks, running]);
      if (leads) await store.release(owner).catch(() => undefined);
    },
    change: async (next) => {
      await store.save(next);
      await followOnce();
    },
    state: () => ({
      change,
      setting,
      state: stateWord(),
      leads,
      backlog: position,
      ...pace,
      doneAt: doneAt(),
    }),
  };
}

const fasterLine =
  `curl -X PUT <payment-service>/replay -H 'authorization: Bearer <operator token>' ` +
  `-H 'content-type: application/json' -d '{"speed":4,"reason":"catch up"}'`;
