import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { BacklogPosition } from '@paystream/nats';
import type { Backlog } from './backlog.ts';
import type { Pace } from './domain/pacer.ts';
import { createReplay } from './replay.ts';
import type { Candidacy, Followed, ReplayChange, ReplaySetting } from './replay-store.ts';
import { StoreUnavailable } from './store.ts';
import { collectLog } from './testing/fixture.ts';
import { createFakeBroker, createFakeQueue, deliveriesAt, positionOf, timesOf } from './testing/replaying.ts';

const defaults: ReplaySetting = { mode: 'original', speed: 1, finishWithinMs: null, paused: 'none' };
const changeOf = (setting: Partial<ReplaySetting>): ReplayChange => ({
  setting: { ...defaults, ...setting },
  changedBy: 'otto',
  changedAt: new Date(),
  reason: 'a test',
});
const otto = () => ({ changedBy: 'otto', changedAt: new Date(), reason: 'a test' });
const follows = 400;

function createFakeBacklog() {
  const reasons = new Map<string, { keepHeld?: boolean }>();
  const paces: Pace[] = [];
  const done: string[] = [];
  const backlog: Pick<Backlog, 'setPace' | 'hold' | 'go' | 'stop' | 'state'> = {
    setPace: (pace) => void paces.push(pace),
    hold: (reason, options = {}) => {
      if (!reasons.has(reason)) reasons.set(reason, options);
    },
    go: (reason) => void reasons.delete(reason),
    stop: async () => void done.push('backlog stopped'),
    state: () => ({ done: 0, held: 0 }),
  };
  return { backlog, reasons, paces, done };
}

function create({ brokerPaces = false } = {}) {
  const broker = createFakeBroker();
  const live = createFakeQueue();
  const { backlog, reasons, paces, done } = createFakeBacklog();
  const { log, said } = collectLog();
  const database = {
    isAway: false,
    leader: undefined as string | undefined,
    change: undefined as ReplayChange | undefined,
    beganAt: null as Date | null,
    settingAside: false,
    candidacies: [] as Candidacy[],
    /** What happens just before a change is saved. */
    onSave: (): unknown => undefined,
  };
  const asked = () => {
    if (database.isAway) throw new StoreUnavailable('refused');
  };
  const follow = async (candidacy: Candidacy): Promise<Followed> => {
    asked();
    database.candidacies.push(candidacy);
    if (candidacy.candidate) database.leader ??= candidacy.owner;
    const leads = database.leader === candidacy.owner;
    return {
      change: database.change,
      stamp: database.change?.changedAt,
      leads,
      progress: { settingAside: database.settingAside, beganAt: database.beganAt },
    };
  };
  const stream = {
    payment: positionOf([], { askedAtMs: 10_000 }),
    backlog: { messages: 0, oldestStoredAt: undefined, newestStoredAt: undefined } as BacklogPosition,
    isAway: false,
  };
  const tell = async <T>(what: T): Promise<T> => {
    if (stream.isAway) throw new Error('no answer');
    return what;
  };
  const asides: number[][] = [];
  const replay = createReplay({
    broker,
    live,
    backlog,
    setAside: {
      setAside: async (deliveries) => {
        asides.push(timesOf(deliveries));
        return deliveries.map(() => ({ kind: 'aside' }));
      },
    },
    read: { payment: () => tell(stream.payment), backlog: () => tell(stream.backlog) },
    store: {
      follow,
      release: async (owner) => {
        asked();
        done.push(`${owner} released`);
      },
      save: async (change, stamp) => {
        asked();
        database.onSave();
        if (stamp !== database.change?.changedAt) return false;
        database.change = change;
        return true;
      },
    },
    log,
    defaults,
    brokerPaces,
    maxGapMs: 1_000,
    liveWithinMs: 2_000,
    owner: 'me',
    // It answers others while it does not answer this.
    databaseUp: () => true,
    now: () => new Date(),
    clock: () => performance.now(),
  });
  return { replay, broker, live, reasons, paces, done, said, database, stream, asides };
}

let setup: ReturnType<typeof create>;
const begin = async (options: Parameters<typeof create>[0] = {}, other?: string) => {
  setup = create(options);
  setup.database.leader = other;
  setup.replay.begin();
  void setup.replay.run();
  await pass(0);
};
const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);
const stop = async () => {
  const stopped = setup.replay.stop();
  await pass(1_000);
  await stopped;
};
const standing = () => ({ live: [...setup.live.reasons.keys()], backlog: [...setup.reasons.keys()] });
const nothing = { live: [], backlog: [] };
const asOther = ['another instance replays'];
const candidates = () => setup.database.candidacies.map(({ candidate }) => candidate);

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(async () => {
  await stop();
  jest.useRealTimers();
});

describe('the lease', () => {
  test('is asked for at once and every 400 ms; until then nothing is replayed and nothing live pulled', async () => {
    setup = create();
    setup.replay.begin();
    expect(standing()).toEqual({ live: ['looking for a backlog'], backlog: asOther });
    expect(setup.reasons.get('another instance replays')).toEqual({ keepHeld: false });

    void setup.replay.run();
    await pass(200);

    expect(standing()).toEqual(nothing);
    expect(setup.replay.state()).toMatchObject({ leads: true, state: 'live' });
    await pass(follows * 3);
    expect(setup.database.candidacies).toHaveLength(4);
    expect(setup.database.candidacies.at(-1)).toMatchObject({ owner: 'me', candidate: true, leaseMs: 3_000 });
  });

  test('of another one keeps this one from replaying, and from live payments until all is out of the way', async () => {
    setup = create();
    setup.stream.payment = positionOf([1, 2], { askedAtMs: 10_000 });
    setup.database.leader = 'other';
    setup.replay.begin();
    void setup.replay.run();
    await pass(5_000);
    expect(standing()).toEqual({ live: ['looking for a backlog'], backlog: asOther });

    setup.stream.payment = { ...setup.stream.payment, deliveredThrough: 2 };
    await pass(200);

    expect(standing()).toEqual({ live: [], backlog: asOther });
    expect(setup.replay.state().leads).toBe(false);
  });

  test('is taken over when the other one has gone', async () => {
    await begin({}, 'other');

    setup.database.leader = undefined;
    await pass(follows);

    expect(standing()).toEqual(nothing);
    expect(setup.replay.state().leads).toBe(true);
  });

  test('that is lost has what is held given back, and regained goes on', async () => {
    await begin();
    setup.database.leader = 'other';
    await pass(follows);
    expect([...setup.reasons]).toEqual([['another instance replays', { keepHeld: false }]]);

    setup.database.leader = 'me';
    await pass(follows);

    expect(standing().backlog).toEqual([]);
  });

  test('is released at a stop, after everything was given back', async () => {
    await begin();

    await stop();

    expect(setup.done).toEqual(['backlog stopped', 'me released']);
  });

  test('of another one is not released', async () => {
    await begin({}, 'other');

    await stop();

    expect(setup.done).toEqual(['backlog stopped']);
  });

  test('hands the progress on', async () => {
    setup = create();
    setup.database.beganAt = new Date(Date.now() - 5_000);
    setup.stream.backlog = {
      messages: 1,
      oldestStoredAt: new Date(Date.now() - 9_000),
      newestStoredAt: new Date(),
    };
    setup.replay.begin();
    void setup.replay.run();

    await pass(follows);

    expect(setup.database.candidacies.map(({ progress }) => progress.beganAt)).toEqual([
      undefined,
      setup.database.beganAt,
    ]);
  });
});

describe('the setting', () => {
  test.each<[string, Partial<ReplaySetting>, { live: string[]; backlog: string[] }]>([
    [
      'paused: replay stops the replay alone',
      { paused: 'replay' },
      { live: [], backlog: ['paused by an operator'] },
    ],
    [
      'paused: all stops live payments too',
      { paused: 'all' },
      { live: ['paused by an operator'], backlog: ['paused by an operator'] },
    ],
  ])('%s, keeping what is held, and none goes on', async (_name, setting, stands) => {
    await begin();

    setup.database.change = changeOf(setting);
    await pass(follows);
    expect(standing()).toEqual(stands);
    expect(setup.reasons.get('paused by an operator')?.keepHeld ?? true).toBe(true);
    expect(setup.live.reasons.get('paused by an operator')?.keepHeld ?? true).toBe(true);
    expect(setup.replay.state().state).toBe('paused');

    setup.database.change = changeOf({ paused: 'none' });
    await pass(follows * 2);
    expect(standing()).toEqual(nothing);
  });

  test('paused: all makes a backlog of what comes meanwhile', async () => {
    await begin();
    setup.database.change = changeOf({ paused: 'all' });
    await pass(follows);
    setup.stream.payment = positionOf([7_000], { askedAtMs: 10_000 });

    setup.database.change = changeOf({ paused: 'none' });
    await pass(follows);

    expect(setup.replay.state().state).toBe('setting-aside');
    expect(await setup.replay.sift(deliveriesAt(7_000))).toEqual([]);
    expect(setup.asides).toEqual([[7_000]]);
  });

  test('paused: all at the start, before it was looked for a backlog, ends in a look', async () => {
    setup = create();
    setup.database.change = changeOf({ paused: 'all' });
    setup.replay.begin();
    void setup.replay.run();
    await pass(60_000);
    expect(standing().live.toSorted()).toEqual(['looking for a backlog', 'paused by an operator']);

    setup.database.change = changeOf({ paused: 'replay' });
    await pass(follows * 2);

    expect(standing()).toEqual({ live: [], backlog: ['paused by an operator'] });
  });

  test.each([
    ['speed: 4', { speed: 4 }, 4],
    ['mode: instant', { mode: 'instant' as const }, Number.POSITIVE_INFINITY],
  ])('%s is followed within a second', async (_name, setting, speed) => {
    await begin();
    setup.database.change = changeOf(setting);

    await pass(1_000);

    expect(setup.paces.at(-1)).toEqual({ speed, maxGapMs: 1_000 });
    expect(setup.replay.state()).toMatchObject({ speed, setting });
  });

  test('that an operator changes here is obeyed when the answer is given', async () => {
    await begin();

    await setup.replay.change((stored) => ({ ...stored, speed: 7, paused: 'replay' }), otto());

    expect(setup.paces.at(-1)?.speed).toBe(7);
    expect(standing().backlog).toEqual(['paused by an operator']);
  });

  test('that cannot be saved is not obeyed, and who asked is told', async () => {
    await begin();
    await pass(200);
    setup.database.isAway = true;

    const pausing = setup.replay.change((stored) => ({ ...stored, paused: 'all' }), otto());
    await expect(pausing).rejects.toThrow(StoreUnavailable);

    expect(standing()).toEqual(nothing);
  });

  test('keeps what is stored and what another changes at the same moment, also before anything was followed', async () => {
    setup = create();
    setup.database.change = changeOf({ paused: 'all' });
    setup.database.onSave = () => {
      setup.database.onSave = () => undefined;
      setup.database.change = { ...changeOf({ paused: 'all', mode: 'instant' }), changedAt: new Date(5) };
    };

    await setup.replay.change((stored) => ({ ...stored, speed: 4 }), otto());

    expect(setup.database.change?.setting).toEqual({ ...defaults, paused: 'all', mode: 'instant', speed: 4 });
    expect(setup.replay.state().state).toBe('paused');
  });

  test('that others change again and again is given up, and who asked is told', async () => {
    await begin();
    let count = 0;
    setup.database.onSave = () => {
      count += 1;
      setup.database.change = { ...changeOf({ speed: count }), changedAt: new Date(count) };
    };

    const changing = setup.replay.change((stored) => ({ ...stored, paused: 'all' }), otto());

    await expect(changing).rejects.toThrow(StoreUnavailable);
    expect([count, setup.database.change?.setting.paused]).toEqual([5, 'none']);
  });

  test('where the broker paces is that of the configuration, whatever was ever changed', async () => {
    setup = create({ brokerPaces: true });
    setup.database.change = changeOf({ speed: 9, paused: 'all' });
    setup.replay.begin();
    void setup.replay.run();

    await pass(follows);

    expect(standing()).toEqual(nothing);
    expect(setup.replay.state()).toMatchObject({ change: undefined, setting: defaults, speed: 1 });
  });
});

describe('an outage of the database', () => {
  test('shorter than a minute changes nothing: what leads goes on with what it holds', async () => {
    await begin();
    setup.database.isAway = true;

    await pass(59_000);
    expect(standing()).toEqual(nothing);
    expect(setup.said('replay.setting-unknown')).toBe(1);
    setup.database.isAway = false;
    await pass(follows);

    expect(setup.replay.state().leads).toBe(true);
    expect(standing()).toEqual(nothing);
  });

  test('longer than that leaves what is held to whoever leads by now', async () => {
    await begin();
    setup.database.isAway = true;
    await pass(60_500);
    expect([...setup.reasons]).toEqual([['another instance replays', { keepHeld: false }]]);
    setup.database.leader = undefined;

    setup.database.isAway = false;
    await pass(3_000);

    expect(setup.replay.state().leads).toBe(true);
    expect(standing()).toEqual(nothing);
  });

  test('has one that does not lead stand back for 2 s, so that the one that led goes on', async () => {
    await begin({}, 'other');
    setup.database.isAway = true;
    await pass(5_000);
    setup.database.isAway = false;
    setup.database.leader = undefined;
    const before = candidates().length;

    await pass(1_500);
    expect(candidates().slice(before)).toContain(false);
    expect(candidates().slice(before)).not.toContain(true);
    await pass(1_000);

    expect(setup.replay.state().leads).toBe(true);
  });

  test('at the start is waited for, and a look is given up after 15 s: whoever applies waits for it then', async () => {
    setup = create();
    setup.database.isAway = true;
    setup.replay.begin();
    void setup.replay.run();
    await pass(14_000);
    expect(standing().live).toEqual(['looking for a backlog']);
    await pass(1_500);
    expect(standing()).toEqual({ live: [], backlog: asOther });

    setup.stream.payment = positionOf([1], { askedAtMs: 10_000 });
    setup.database.isAway = false;
    setup.replay.begin();
    await pass(3_000);

    expect(standing()).toEqual(nothing);
    expect(setup.asides).toEqual([]);
    expect(await setup.replay.sift(deliveriesAt(1))).toEqual([]);
  });

  test('ends it where it is not an outage but a bug', async () => {
    setup = create();
    setup.broker.state = () => {
      throw new TypeError('a bug');
    };

    await expect(setup.replay.run()).rejects.toThrow('a bug');
    setup = create();
  });
});

describe('the broker', () => {
  test('away has the replay stand and keeps what is held; back, it is looked for a backlog', async () => {
    await begin();

    setup.broker.become(false);
    await pass(1_000);
    expect(standing()).toEqual({ live: ['looking for a backlog'], backlog: ['the broker is away'] });
    expect(setup.reasons.get('the broker is away')?.keepHeld ?? true).toBe(true);
    expect(candidates().at(-1)).toBe(false);
    setup.stream.payment = positionOf([7_000], { askedAtMs: 10_000 });
    setup.broker.become(true);
    await pass(follows);

    expect(standing()).toEqual(nothing);
    expect(setup.replay.state().state).toBe('setting-aside');
  });

  test('back, this one stands back for 2 s where it has not led', async () => {
    await begin({}, 'other');
    setup.broker.become(false);
    setup.database.leader = undefined;
    await pass(1_000);
    setup.broker.become(true);

    await pass(1_900);
    expect(setup.replay.state().leads).toBe(false);
    await pass(600);

    expect(setup.replay.state().leads).toBe(true);
  });

  test('away again while it is looked for a backlog: no reason is left standing in the end', async () => {
    await begin();
    for (const ms of [0, 1, 199, 200, 201]) {
      setup.broker.become(false);
      await pass(ms);
      setup.broker.become(true);
      await pass(ms);
    }
    setup.database.isAway = true;
    setup.broker.become(false);
    await pass(300);
    setup.broker.become(true);
    setup.database.isAway = false;

    await pass(3_000);

    expect(standing()).toEqual(nothing);
    expect(setup.replay.state()).toMatchObject({ leads: true, state: 'live' });
  });

  test('that does not say how far it is leaves what was known, and the setting is followed', async () => {
    setup = create();
    setup.stream.backlog = { messages: 5, oldestStoredAt: new Date(1), newestStoredAt: new Date(2) };
    setup.replay.begin();
    void setup.replay.run();
    await pass(follows);
    setup.stream.isAway = true;
    setup.database.change = changeOf({ paused: 'replay' });
    await pass(follows);

    expect(setup.replay.state()).toMatchObject({ backlog: { messages: 5 }, state: 'paused' });
  });

  test('before anything was begun is not looked at', async () => {
    setup = create();
    setup.broker.become(false);
    setup.broker.become(true);

    expect(standing()).toEqual({ live: [], backlog: asOther });
  });
});

describe('the state', () => {
  test('is that of whoever leads', async () => {
    await begin({}, 'other');
    expect(setup.replay.state().state).toBe('live');

    setup.database.settingAside = true;
    await pass(follows);
    expect(setup.replay.state().state).toBe('setting-aside');
    setup.database.settingAside = false;
    setup.stream.backlog = { messages: 5, oldestStoredAt: new Date(), newestStoredAt: new Date() };
    await pass(follows);

    expect(setup.replay.state().state).toBe('replaying');
  });
});

test('a stop in the middle of a look leaves no look behind, and no timer', async () => {
  setup = create();
  setup.broker.become(false);
  setup.replay.begin();
  void setup.replay.run();
  await pass(100);

  const stopped = setup.replay.stop();
  await pass(0);
  await stopped;

  expect(setup.live.reasons.size).toBe(0);
  expect(jest.getTimerCount()).toBe(0);
});
