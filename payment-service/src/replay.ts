import type { BacklogPosition } from '@paystream/nats';
import { describeError, pause } from '@paystream/runtime';
import { createProgress } from './replay-progress.ts';
import type { Followed, ReplayChange } from './replay-store.ts';
import type { Replay, ReplayOptions, ReplayState } from './replay-types.ts';
import { createSifting } from './sifting.ts';
import { StoreUnavailable } from './store.ts';

// A change is followed within a second, with what the database and the broker take for their answers.
const followEveryMs = 400;
// Another instance goes on this long after the one that replays has died without a word.
const leaseMs = 3_000;
// After an outage of all, the one that has led goes on: it holds the messages that are next in turn.
const standBackMs = 2_000;
// Cut off from the database for longer than this, it leaves what it holds to whoever may lead by now.
const cutOffMs = 60_000;
// An outage is told by the connection; a setting that alone cannot be read is not.
const unfollowedMs = 10_000;
const byOperator = 'paused by an operator';
const brokerAway = 'the broker is away';
const byOther = 'another instance replays';
// Two people at one time are many.
const changeRoundsMax = 5;
const empty: BacklogPosition = { messages: 0, oldestStoredAt: undefined, newestStoredAt: undefined };

/**
 * Decides what is a backlog and who replays it how. One instance at a time leads: it sets aside and replays, while
 * the others go on with live payments as soon as the backlog is out of their way.
 */
export function createReplay(options: ReplayOptions): Replay {
  const { broker, live, backlog, read, store, log, defaults, brokerPaces, owner, clock, databaseUp } =
    options;
  const stopping = new AbortController();
  const progress = createProgress(options);
  let setting = defaults;
  let change: ReplayChange | undefined;
  let stamp: unknown;
  let leads = false;
  let leaderSetsAside = false;
  let position: BacklogPosition | undefined;
  // Whether the setting is known, and since when it is or is not.
  let followed = { ok: false, sinceMs: clock(), told: false };
  let candidateFromMs = Number.NEGATIVE_INFINITY;
  let begun = false;
  let failure: { error: unknown } | undefined;
  let running: Promise<void> | undefined;
  let turn: Promise<void> = Promise.resolve();

  const fail = (error: unknown) => {
    failure ??= { error };
  };
  const sifting = createSifting(
    {
      ...options,
      readPayment: read.payment,
      rules: () => ({ setting: followed.ok ? setting : undefined, leads }),
    },
    fail,
  );

  /** One after the other: what an older look has found must not undo a newer one. */
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = turn.then(work);
    turn = done.catch(() => undefined);
    return done;
  };

  const followSetting = async () => {
    const candidate = broker.state().up && !stopping.signal.aborted && (leads || clock() >= candidateFromMs);
    const told = { settingAside: sifting.busy(), beganAt: progress.beganAt() };
    try {
      obey(await store.follow({ owner, candidate, leaseMs, progress: told }));
    } catch (error) {
      if (error instanceof StoreUnavailable) miss(error);
      throw error;
    }
  };

  /** Does what is set: what stands still, and who may move. */
  const obey = (seen: Followed) => {
    followed = { ok: true, sinceMs: clock(), told: false };
    change = brokerPaces ? undefined : seen.change;
    stamp = seen.stamp;
    setting = change?.setting ?? defaults;
    leads = seen.leads;
    leaderSetsAside = seen.progress.settingAside;
    if (!leads || progress.beganAt() === undefined) progress.learn(seen.progress.beganAt ?? null);
    setPace();
    if (setting.paused === 'all') live.pause(byOperator, { keepHeld: true });
    else if (live.state().pausedFor.includes(byOperator)) {
      // What came meanwhile is a backlog.
      sifting.begin();
      live.resume(byOperator);
    }
    if (setting.paused === 'none') backlog.go(byOperator);
    else backlog.hold(byOperator);
    if (leads) backlog.go(byOther);
    else backlog.hold(byOther, { keepHeld: false });
  };

  /** The database is away; whoever works with it has said so and waits for it. */
  const miss = (error: StoreUnavailable) => {
    if (followed.ok) followed = { ok: false, sinceMs: clock(), told: false };
    if (!leads) candidateFromMs = clock() + standBackMs;
    const forMs = clock() - followed.sinceMs;
    if (forMs > unfollowedMs && !followed.told && databaseUp()) {
      followed.told = true;
      log.warn({ cause: describeError(error.cause) }, 'replay.setting-unknown');
    }
    if (!leads || forMs < cutOffMs) return;
    leads = false;
    backlog.hold(byOther, { keepHeld: false });
  };

  const setPace = () => {
    const settingAside = leads ? sifting.busy() : leaderSetsAside;
    const { done } = backlog.state();
    backlog.setPace(progress.follow({ backlog: position, setting, change, leads, settingAside, done }));
  };

  const followBroker = async () => {
    if (!broker.state().up || stopping.signal.aborted) return;
    try {
      await sifting.finishOnce();
      position = await read.backlog();
    } catch (error) {
      // It goes on with what it knows; the next look is soon.
      return log.debug({ error: describeError(error) }, 'replay.position-unknown');
    }
    setPace();
  };

  const followOnce = () =>
    inTurn(async () => {
      await followSetting();
      await followBroker();
    });

  const run = async () => {
    while (!stopping.signal.aborted) {
      await followOnce().catch((error: unknown) => {
        if (!(error instanceof StoreUnavailable)) throw error;
      });
      if (failure !== undefined) throw failure.error;
      await pause(followEveryMs, stopping.signal);
    }
  };

  const stopListening = broker.onChange(({ up }) => {
    if (!up) backlog.hold(brokerAway);
    if (begun) sifting.begin();
    if (!up) return;
    if (followed.ok && !leads) candidateFromMs = clock() + standBackMs;
    backlog.go(brokerAway);
  });
  backlog.hold(byOther, { keepHeld: false });

  const stateWord = (): ReplayState['state'] => {
    if (setting.paused !== 'none') return 'paused';
    if (leads ? sifting.busy() : leaderSetsAside) return 'setting-aside';
    return position !== undefined && position.messages > 0 ? 'replaying' : 'live';
  };

  return {
    begin: () => {
      begun = true;
      sifting.begin();
    },
    sift: sifting.sift,
    followOnce,
    run: () => {
      running ??= run();
      return running;
    },
    stop: async () => {
      stopping.abort();
      stopListening();
      await Promise.all([sifting.stop(), backlog.stop(), running?.catch(() => undefined)]);
      if (leads) await store.release(owner).catch(() => undefined);
    },
    change: (to, by) =>
      inTurn(async () => {
        for (let round = 1; round <= changeRoundsMax; round += 1) {
          // What is in memory may be of yesterday, or nothing yet: a pause that somebody else has set must not end with it.
          await followSetting();
          if (await store.save({ setting: to(setting), ...by }, stamp)) return followSetting();
        }
        throw new StoreUnavailable('others change the setting at the same time');
      }),
    state: () => ({
      change,
      setting,
      state: stateWord(),
      leads,
      backlog: position ?? empty,
      ...progress.state(),
    }),
  };
}
