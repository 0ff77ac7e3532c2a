/** `instant`: nothing is set aside, and what is aside already is replayed at once. */
export const replayModes = ['original', 'instant'] as const;
export type ReplayMode = (typeof replayModes)[number];

/** What stands still: nothing, the replay only, or live payments too. */
export const pausables = ['none', 'replay', 'all'] as const;
export type Paused = (typeof pausables)[number];

/** How a backlog is replayed, the same for every instance. */
export interface ReplaySetting {
  mode: ReplayMode;
  /** 1: at the rate at which it came. */
  speed: number;
  /** A replay that would last longer than this is sped up; null: as long as it takes. */
  finishWithinMs: number | null;
  paused: Paused;
}

/** What an operator changed, and who and why. It wins over the configuration and survives restarts. */
export interface ReplayChange {
  setting: ReplaySetting;
  changedBy: string;
  changedAt: Date;
  reason: string;
}

/** What the leading instance tells the others, and its successor. */
export interface LeaderProgress {
  settingAside: boolean;
  /** When the replay began, null where there is none; undefined: not known yet, so what was told before holds. */
  beganAt: Date | null | undefined;
}

export interface Followed {
  change: ReplayChange | undefined;
  /** Tells what is stored now, readable or not, from what will be stored later; undefined: nothing is. */
  stamp: unknown;
  /** Whether this instance is the one that sets aside and replays, until its lease ends. */
  leads: boolean;
  /** Of whoever leads. */
  progress: LeaderProgress;
}

export interface Candidacy {
  owner: string;
  /** False: it only follows. */
  candidate: boolean;
  leaseMs: number;
  /** Written where this instance leads. */
  progress: LeaderProgress;
}

/** The one document that every instance follows. Rejects with StoreUnavailable while the database is away. */
export interface ReplayStore {
  /** Tells what is set; a candidate also takes or renews the lease if nobody else holds it. */
  follow(candidacy: Candidacy): Promise<Followed>;
  /** Lets another instance lead at once. */
  release(owner: string): Promise<void>;
  /** False: what is stored is not what was followed when it had that stamp, and stays. */
  save(change: ReplayChange, stamp: unknown): Promise<boolean>;
}
