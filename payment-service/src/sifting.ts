import type { Delivery, PaymentPosition } from '@paystream/nats';
import { pause } from '@paystream/runtime';
import type { ReplaySetting } from './replay-store.ts';
import type { ReplayOptions } from './replay-types.ts';

type Needed = 'broker' | 'live' | 'setAside' | 'log' | 'liveWithinMs' | 'clock';
export interface SiftingOptions extends Pick<ReplayOptions, Needed> {
  /** Rejects when the broker does not say. */
  readPayment: () => Promise<PaymentPosition>;
  /** The setting, or undefined while it is not known; and whether it is this instance that sets aside. */
  rules: () => { setting: ReplaySetting | undefined; leads: boolean };
}

/** Tells a backlog from what is live, and puts it out of the way of live messages. */
export interface Sifting {
  /** Nothing live is pulled until it is known what is a backlog, and by whom it is set aside. */
  begin(): void;
  /** One look. True: live messages may be pulled now. */
  lookOnce(): Promise<boolean>;
  sift(deliveries: readonly Delivery[]): Promise<readonly Delivery[]>;
  /** Looks whether all of it is aside by now. Rejects when the broker does not say. */
  finishOnce(): Promise<void>;
  /** Whether this instance is setting aside. */
  busy(): boolean;
  stop(): Promise<void>;
}

/** What was stored up to this place and before this time is backlog. */
interface Boundary {
  sequence: number;
  before: Date;
}

interface Look {
  edge: Boundary | undefined;
  /** When something last moved, and what. */
  movedAtMs: number;
  seen: string;
}

const looking = 'looking for a backlog';
const lookAgainMs = 200;
// However badly a look goes, live payments wait no longer than this for it while nothing moves: several leases.
const stuckMs = 15_000;
// What was given back comes again within this.
const quietMs = 2_000;
// About five seconds where the broker refuses, a minute where it does not answer.
const triesMax = 5;

/** The work of one instance on what piled up in `payment`; `fail` hears of programming errors. */
export function createSifting(options: SiftingOptions, fail: (error: unknown) => void): Sifting {
  const { broker, live, setAside, log, liveWithinMs, clock, readPayment, rules } = options;
  const stopping = new AbortController();
  let boundary: Boundary | undefined;
  // What the look that goes on has found; `begin` begins it anew.
  let look: Look = { edge: undefined, movedAtMs: 0, seen: '' };
  let looks: Promise<void> | undefined;
  let settingAside: { since: number; lastAt: number; count: number } | undefined;

  const begin = () => {
    if (stopping.signal.aborted) return;
    live.pause(looking, { keepHeld: true });
    look = { edge: undefined, movedAtMs: clock(), seen: '' };
    looks ??= untilLooked().catch(fail);
  };

  const untilLooked = async () => {
    while (!stopping.signal.aborted) {
      const current = look;
      // What is begun again at this very moment is looked for, too.
      if ((await lookOnce()) && current === look) break;
      await pause(lookAgainMs, stopping.signal);
    }
    looks = undefined;
    live.resume(looking);
  };

  const lookOnce = async () => {
    const current = look;
    const { setting } = rules();
    // Nobody can be served meanwhile, or nobody shall.
    if (!broker.state().up || setting?.paused === 'all') {
      current.movedAtMs = clock();
      return false;
    }
    if (setting !== undefined) {
      const at = setting.mode === 'instant' ? 'instant' : await readPayment().catch(() => undefined);
      // Begun again meanwhile, because of another loss: what was seen is older than that.
      if (current !== look) return false;
      if (at === 'instant' || (at !== undefined && decide(at))) return true;
    }
    if (clock() - look.movedAtMs < stuckMs) return false;
    log.warn({ knowsSetting: setting !== undefined, boundary: look.edge }, 'backlog.look-given-up');
    return true;
  };

  /** True when nothing stands in the way of live messages, or it is ours to put out of their way. */
  const decide = (at: PaymentPosition): boolean => {
    if (look.edge === undefined) {
      const before = new Date(at.askedAt.getTime() - liveWithinMs);
      const isLive = at.oldestStoredAt === undefined || at.oldestStoredAt >= before;
      boundary = isLive ? undefined : { sequence: at.lastSequence, before };
      look.edge = boundary;
    }
    if (look.edge === undefined) return true;
    if (rules().leads) {
      settingAside ??= { since: clock(), lastAt: clock(), count: 0 };
      log.info({ messages: at.messages, oldestStoredAt: at.oldestStoredAt }, 'backlog.found');
      return true;
    }
    const seen = `${at.deliveredThrough} ${at.messages}`;
    if (seen !== look.seen) {
      look.seen = seen;
      look.movedAtMs = clock();
    }
    return at.deliveredThrough >= look.edge.sequence;
  };

  const sift = async (deliveries: readonly Delivery[]) => {
    const edge = boundary;
    if (edge === undefined || rules().setting?.mode === 'instant') return deliveries;
    const old = deliveries.filter(
      ({ sequence, storedAt }) => sequence <= edge.sequence && storedAt < edge.before,
    );
    // What was given back before may come among the others.
    const gone = await setAsideAll(old.toSorted((left, right) => left.sequence - right.sequence));
    if (settingAside !== undefined && gone.size > 0) {
      settingAside.count += gone.size;
      settingAside.lastAt = clock();
    }
    return deliveries.filter((delivery) => !gone.has(delivery));
  };

  /** Those that are settled. What finds no room, and what the broker takes in no way, is to be applied at once. */
  const setAsideAll = async (old: readonly Delivery[]): Promise<ReadonlySet<Delivery>> => {
    const gone = new Set<Delivery>();
    const settle = async (delivery: Delivery, kind: 'ack' | 'release') => {
      gone.add(delivery);
      await live.settle(delivery, kind === 'ack' ? { kind } : { kind, at: 'once' });
    };
    let rest = old;
    for (let tries = 1; rest.length > 0; tries = broker.state().up ? tries + 1 : 1) {
      const { aside, full, unknown, detail } = await setAsideOnce(rest);
      for (const delivery of aside) await settle(delivery, 'ack');
      if (full.length > 0) log.warn({ count: full.length }, 'backlog.full');
      rest = unknown;
      if (rest.length === 0) break;
      if (stopping.signal.aborted) {
        for (const delivery of rest) await settle(delivery, 'release');
        break;
      }
      if (tries >= triesMax && broker.state().up) {
        log.error({ count: rest.length, detail }, 'backlog.refused');
        break;
      }
      await beforeNextTry(rest, tries);
    }
    return gone;
  };

  const setAsideOnce = async (deliveries: readonly Delivery[]) => {
    const outcomes = await setAside.setAside(deliveries);
    const of = (wanted: string) =>
      deliveries.filter((_delivery, index) => (outcomes[index]?.kind ?? 'unknown') === wanted);
    const failed = outcomes.find((outcome) => outcome.kind === 'unknown');
    return { aside: of('aside'), full: of('full'), unknown: of('unknown'), detail: failed?.detail };
  };

  /** They stay in hand: given back they would come again behind others, and the rhythm would be lost. */
  const beforeNextTry = async (rest: readonly Delivery[], tries: number) => {
    if (broker.state().up) await pause(lookAgainMs * 2 ** tries, stopping.signal);
    else await broker.whenUp(stopping.signal).catch(() => undefined);
    for (const delivery of rest) live.stillWorking(delivery);
  };

  const finishOnce = async () => {
    if (settingAside === undefined) return;
    const { deliveredThrough, oldestStoredAt } = await readPayment();
    const isOut = boundary === undefined || oldestStoredAt === undefined || oldestStoredAt >= boundary.before;
    // One that fails again and again stays in the queue for long.
    const isPassed = boundary !== undefined && deliveredThrough >= boundary.sequence;
    if (settingAside === undefined || looks !== undefined) return;
    if (!isOut && !(isPassed && clock() - settingAside.lastAt > quietMs)) return;
    const { count, since, lastAt } = settingAside;
    log.info({ count, tookMs: Math.round(lastAt - since) }, 'backlog.set-aside');
    settingAside = undefined;
  };

  return {
    begin,
    lookOnce,
    sift,
    finishOnce,
    busy: () => settingAside !== undefined,
    stop: async () => {
      stopping.abort();
      await looks;
    },
  };
}
