import type {
  BacklogPosition,
  BrokerConnection,
  Delivery,
  PaymentPosition,
  SetAside,
  Subscription,
} from '@paystream/nats';
import type { Log } from '@paystream/runtime';
import type { Backlog } from './backlog.ts';
import type { ReplayChange, ReplaySetting, ReplayStore } from './replay-store.ts';

export interface ReplayOptions {
  broker: Pick<BrokerConnection, 'state' | 'onChange' | 'whenUp'>;
  live: Pick<Subscription, 'pause' | 'resume' | 'settle' | 'stillWorking' | 'state'>;
  backlog: Pick<Backlog, 'setPace' | 'hold' | 'go' | 'stop' | 'state'>;
  setAside: SetAside;
  /** What the broker says of the two work queues; both reject when it does not say. */
  read: { payment(): Promise<PaymentPosition>; backlog(): Promise<BacklogPosition> };
  store: ReplayStore;
  /** As far as its connection knows. */
  databaseUp: () => boolean;
  log: Log;
  /** From the configuration; what an operator has changed wins. */
  defaults: ReplaySetting;
  /** The broker paces by its own replay policy: the defaults hold, and nothing that was ever changed. */
  brokerPaces: boolean;
  maxGapMs: number;
  /** What was stored no longer ago than this when we look is live. */
  liveWithinMs: number;
  /** Tells this instance from the others. */
  owner: string;
  now: () => Date;
  /** A clock that only grows, in milliseconds. */
  clock: () => number;
}

export interface ReplayState {
  change: ReplayChange | undefined;
  setting: ReplaySetting;
  state: 'live' | 'setting-aside' | 'replaying' | 'paused';
  /** Whether it is this instance that replays. */
  leads: boolean;
  backlog: BacklogPosition;
  /** Infinity: at once. */
  speed: number;
  /** The oldest message has used half of its time on the broker, so the rest is replayed at once. */
  guard: boolean;
  /** Undefined also while it is paused. */
  doneAt: Date | undefined;
}

export interface Replay {
  /** Looks whether the stream holds a backlog; nothing live is pulled meanwhile. After every start and every return. */
  begin(): void;
  /** Sets the messages of the backlog aside, and gives back those that are to be applied now. */
  sift(deliveries: readonly Delivery[]): Promise<readonly Delivery[]>;
  /** Reads the setting, takes or renews the lease, and does what they say. */
  followOnce(): Promise<void>;
  /** Follows until `stop`. Rejects only on a programming error. */
  run(): Promise<void>;
  /** Stops the backlog too: another instance may lead when everything is given back, and not before. */
  stop(): Promise<void>;
  /**
   * Saves what an operator makes of the setting as it is stored; every instance follows within a second, this one at once.
   * When another change comes between, the same is made of that one.
   */
  change(to: (stored: ReplaySetting) => ReplaySetting, by: Omit<ReplayChange, 'setting'>): Promise<void>;
  state(): ReplayState;
}

/** How late the message that is next in turn is. */
export function lagMs(oldestStoredAt: Date | undefined, now: Date): number {
  return oldestStoredAt === undefined ? 0 : Math.max(0, now.getTime() - oldestStoredAt.getTime());
}
