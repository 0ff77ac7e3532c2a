import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type Backlog, createBacklog } from './backlog.ts';
import type { Apply } from './settling.ts';
import { StoreUnavailable } from './store.ts';
import { collectLog } from './testing/fixture.ts';
import { createFakeQueue, deliveriesAt, deliveryOf, type FakeQueue, timesOf } from './testing/replaying.ts';

interface Setup {
  backlog: Backlog;
  queue: FakeQueue;
  /** Stored time and moment of each that was applied. */
  applied: [storedAtMs: number, atMs: number][];
  /** How many were applied together, call by call. */
  counts: number[];
  /** In the place of the next batches; each is used once. */
  next: (() => Promise<void>)[];
  pings: { count: number; isAway: boolean };
  /** The connection finds that the database is away. */
  loseDatabase: () => void;
  said: (message: string) => number;
  /** The milliseconds since the test began. */
  now: () => number;
  pass: (ms: number) => Promise<void>;
}

let setup: Setup;
beforeEach(() => {
  jest.useFakeTimers();
  setup = create();
});
afterEach(async () => {
  await setup.backlog.stop();
  jest.useRealTimers();
});

function create(): Setup {
  const queue = createFakeQueue();
  const { log, said } = collectLog();
  const startedAt = performance.now();
  const now = () => performance.now() - startedAt;
  const applied: Setup['applied'] = [];
  const next: Setup['next'] = [];
  const counts: number[] = [];
  const pings = { count: 0, isAway: false };
  let tellAway: () => void = () => undefined;
  const apply: Apply = async (_subscription, deliveries) => {
    counts.push(deliveries.length);
    try {
      await next.shift()?.();
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      return { kind: 'away', left: deliveries, cause: error.cause };
    }
    for (const delivery of deliveries) {
      applied.push([delivery.storedAt.getTime(), now()]);
      await queue.settle(delivery, { kind: 'ack' });
    }
    return { kind: 'settled' };
  };
  const store = {
    ping: async () => {
      pings.count += 1;
      if (pings.isAway) throw new StoreUnavailable('refused');
    },
  };
  const backlog = createBacklog({
    subscription: queue,
    apply,
    store,
    log,
    onDatabaseAway: (listener) => {
      tellAway = listener;
    },
    clock: () => performance.now(),
  });
  const loseDatabase = () => {
    pings.isAway = true;
    tellAway();
  };
  const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);
  return { backlog, queue, applied, counts, next, pings, loseDatabase, said, now, pass };
}

const away = async () => {
  throw new StoreUnavailable('refused');
};
const lasting =
  (ms: number, then: () => Promise<void> = async () => undefined) =>
  async () => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    await then();
  };
/** Times a second apart at most, from zero. */
const every = (gapMs: number, count: number) => Array.from({ length: count }, (_, index) => index * gapMs);
const releasedOnce = () =>
  setup.queue.settled
    .filter(({ settlement }) => settlement.kind === 'release' && settlement.at === 'once')
    .map(({ storedAtMs }) => storedAtMs);
function run(...storedAtMs: number[]): void {
  setup.queue.put(...deliveriesAt(...storedAtMs));
  void setup.backlog.run();
}

describe('a backlog', () => {
  test('is applied message by message as it came', async () => {
    run(...every(25, 160));

    await setup.pass(4_000);

    expect(setup.applied).toEqual(every(25, 160).map((at) => [at, at]));
    expect(setup.backlog.state()).toEqual({ done: 160, held: 0 });
  });

  test('is fetched no further while what is in hand is large, being applied or not', async () => {
    setup.next.push(...every(1, 5).map(() => lasting(1_000)));
    setup.queue.put(...every(1, 20).map((at) => deliveryOf(at, { bytes: 1_048_576 })));
    void setup.backlog.run();
    await setup.pass(1_500);

    setup.queue.put(deliveryOf(30));
    await setup.pass(400);
    expect([setup.queue.waiting(), setup.backlog.state()]).toEqual([1, { done: 1, held: 15 }]);

    await setup.pass(3_000);
    expect([setup.queue.waiting(), setup.backlog.state()]).toEqual([0, { done: 21, held: 0 }]);
    // What was due meanwhile: 4 MiB at a time.
    expect(setup.counts).toEqual([1, 1, 1, 1, 1, 4, 4, 4, 4]);
  });

  test('is fetched two seconds ahead, and no further', async () => {
    setup.queue.put(...deliveriesAt(...every(500, 100)));
    const takes: number[] = [];
    const { take } = setup.queue;
    setup.queue.take = async () => {
      const one = await take(1);
      takes.push(...timesOf(one));
      return one;
    };
    void setup.backlog.run();

    await setup.pass(1);
    expect(takes).toEqual([0, 500, 1_000, 1_500, 2_500 - 500]);
    await setup.pass(1_000);

    expect(Math.max(...takes)).toBeLessThanOrEqual(3_500);
    expect(setup.backlog.state().held).toBeLessThanOrEqual(5);
  });

  test('begins when the first message, which finds everything cold, is through', async () => {
    setup.next.push(lasting(400));
    run(0, 25, 50);

    await setup.pass(1_000);

    expect(setup.applied).toEqual([
      [0, 400],
      [25, 425],
      [50, 450],
    ]);
  });

  test('does not wait for a slow write', async () => {
    run(0, 100, 200, 300);
    await setup.pass(0);
    setup.next.push(lasting(150));

    await setup.pass(1_000);

    expect(setup.applied).toEqual([
      [0, 0],
      [200, 200],
      [100, 250],
      [300, 300],
    ]);
  });

  test('has no more than four writes in flight; what was due meanwhile follows in one', async () => {
    run(...every(10, 20));
    await setup.pass(0);
    setup.next.push(lasting(100), lasting(100), lasting(100), lasting(100));

    await setup.pass(109);
    expect(setup.applied).toHaveLength(1);
    await setup.pass(1);

    expect(setup.applied.slice(1, 8)).toEqual(
      [10, 50, 60, 70, 80, 90, 100].map((at) => [at, expect.any(Number)]),
    );
    await setup.pass(100);
    expect(setup.applied.map(([at]) => at).sort((left, right) => left - right)).toEqual(every(10, 20));
  });

  test('goes on at a new speed at once, for what is held too', async () => {
    run(...every(100, 11));
    await setup.pass(350);

    setup.backlog.setPace({ speed: 10, maxGapMs: 1_000 });
    await setup.pass(100);

    expect(setup.applied.slice(4)).toEqual(every(100, 7).map((at) => [at + 400, 355 + at / 10]));
  });

  test('that comes while there is none begins when it comes', async () => {
    run();
    setup.backlog.hold('another instance replays', { keepHeld: false });
    await setup.pass(10);
    setup.backlog.go('another instance replays');
    await setup.pass(3_600_000);

    setup.queue.put(...deliveriesAt(0, 500, 1_000));
    await setup.pass(1_000);

    expect(setup.applied).toEqual([0, 500, 1_000].map((at) => [at, 3_600_010 + at]));
  });

  test('with a gap of weeks between two messages waits without a hurry', async () => {
    setup.backlog.setPace({ speed: 1, maxGapMs: 2_600_000_000 });
    const { playOnce } = setup.backlog;
    setup.queue.put(...deliveriesAt(0, 2_600_000_000));
    await setup.backlog.fillOnce();
    await playOnce();
    let turns = 0;
    const isOver = setup.backlog.playOnce().then(() => {
      turns += 1;
    });

    await setup.pass(1_000);

    expect(turns).toBe(0);
    await setup.pass(2_000);
    await isOver;
  });
});

describe('a message that fails', () => {
  test('does not stall the others, comes again at once when it comes, and moves nothing', async () => {
    run(0, 100, 200, 300);
    await setup.pass(150);

    setup.queue.put(deliveryOf(100, { deliveries: 2 }));
    await setup.pass(500);

    expect(setup.applied).toEqual([
      [0, 0],
      [100, 100],
      [100, 150],
      [200, 200],
      [300, 300],
    ]);
  });

  test('for a reason of ours ends it all', async () => {
    setup.queue.put(deliveryOf(0));
    setup.next.push(async () => {
      throw new TypeError('a bug');
    });
    const running = setup.backlog.run().catch((error: unknown) => error);

    await setup.pass(10);
    void setup.backlog.stop();

    expect(await running).toEqual(new TypeError('a bug'));
  });
});

describe('without the database', () => {
  test('it stands, keeps what it holds, and goes on where it stood', async () => {
    run(...every(100, 10));
    await setup.pass(250);
    setup.pings.isAway = true;
    setup.next.push(away);
    await setup.pass(60_000);

    expect(setup.applied).toHaveLength(3);
    expect([...setup.queue.reasons]).toEqual([['the database is away', { keepHeld: true }]]);
    expect(setup.queue.settled.every(({ settlement }) => settlement.kind === 'ack')).toBe(true);
    expect(setup.said('replay.stands')).toBe(1);
    setup.pings.isAway = false;
    await setup.pass(6_000);

    const [[, back] = [0, 0]] = setup.applied.slice(3);
    expect(setup.applied.slice(3)).toEqual(every(100, 7).map((at) => [at + 300, back + at]));
    expect(setup.queue.reasons.size).toBe(0);
  });

  test('it stands as soon as the connection says so, tries nothing, and goes on where it stood', async () => {
    run(...every(100, 10));
    await setup.pass(250);
    setup.loseDatabase();
    await setup.pass(60_000);

    expect(setup.applied).toHaveLength(3);
    expect([...setup.queue.reasons]).toEqual([['the database is away', { keepHeld: true }]]);
    expect(setup.queue.settled).toHaveLength(3);
    expect(setup.said('replay.stands')).toBe(1);
    setup.pings.isAway = false;
    await setup.pass(6_000);

    const [[, back] = [0, 0]] = setup.applied.slice(3);
    expect(setup.applied.slice(3)).toEqual(every(100, 7).map((at) => [at + 300, back + at]));
    expect(setup.queue.reasons.size).toBe(0);
  });

  test('it says nothing of it while nothing waits for its turn', async () => {
    run();
    await setup.pass(250);
    setup.loseDatabase();
    await setup.pass(5_000);

    expect([...setup.queue.reasons.keys()]).toEqual(['the database is away']);
    expect(setup.said('replay.stands')).toBe(0);
  });

  test('all that were in flight come again, each once, in their order', async () => {
    run(...every(100, 8));
    await setup.pass(50);
    setup.next.push(lasting(250, away), lasting(150, away), lasting(50, away));
    setup.pings.isAway = true;
    await setup.pass(350);
    await setup.pass(10_000);
    setup.pings.isAway = false;
    await setup.pass(10_000);

    const [[, back] = [0, 0]] = setup.applied.slice(1);
    expect(setup.applied.slice(1)).toEqual(every(100, 7).map((at) => [at + 100, back + at]));
  });

  test('it looks again after a time that grows while nothing can be written, though it answers', async () => {
    run(0, 100);
    setup.next.push(...Array.from({ length: 8 }, () => away));

    await setup.pass(250 + 500 + 1_000 + 2_000 + 3_000 - 1);
    expect(setup.pings.count).toBe(4);
    await setup.pass(1);
    expect(setup.pings.count).toBe(5);
    await setup.pass(3_000 * 3);
    expect(setup.applied[0]).toEqual([0, 15_750]);

    setup.next.push(away);
    await setup.pass(100 + 250);

    expect(setup.pings.count).toBe(9);
  });

  test('and stopped meanwhile, it gives back what it holds and looks no more', async () => {
    run(0, 100, 200);
    await setup.pass(0);
    setup.pings.isAway = true;
    setup.next.push(away);
    await setup.pass(150);

    await setup.backlog.stop();
    const { count } = setup.pings;
    await setup.pass(60_000);

    expect(releasedOnce()).toEqual([100, 200]);
    expect(setup.pings.count).toBeLessThanOrEqual(count + 1);
  });
});

describe('held', () => {
  test('for several reasons, it goes on with the last one gone, where it stood at the first', async () => {
    run(...every(100, 6));
    await setup.pass(250);

    setup.backlog.hold('paused by an operator');
    await setup.pass(1_000);
    setup.backlog.hold('the broker is away');
    await setup.pass(1_000);
    setup.backlog.go('paused by an operator');
    setup.backlog.go('paused by an operator');
    await setup.pass(1_000);
    expect(setup.applied).toHaveLength(3);
    setup.backlog.go('the broker is away');
    await setup.pass(300);

    expect(setup.applied.slice(3)).toEqual([
      [300, 3_300],
      [400, 3_400],
      [500, 3_500],
    ]);
    expect(setup.queue.settled).toHaveLength(6);
  });

  test('at a speed that is changed meanwhile, the rest of the way is at the new one', async () => {
    run(0, 100, 200);
    await setup.pass(50);

    setup.backlog.hold('paused by an operator');
    setup.backlog.setPace({ speed: 0.5, maxGapMs: 1_000 });
    await setup.pass(950);
    setup.backlog.go('paused by an operator');
    await setup.pass(1_000);

    expect(setup.applied.slice(1)).toEqual([
      [100, 1_100],
      [200, 1_300],
    ]);
  });

  test('it says that it works on what it holds: now and then, and when it goes on', async () => {
    run(...every(100, 6));
    await setup.pass(250);
    setup.backlog.hold('the broker is away');
    expect(setup.queue.working()).toEqual([]);

    await setup.pass(8_000);
    expect(setup.queue.working()).toEqual([300, 400, 500]);
    setup.backlog.go('the broker is away');

    expect(setup.queue.working()).toEqual([300, 400, 500]);
  });

  test('because another one replays, it gives back at once, first in turn first, and begins anew later', async () => {
    run(0, 100, 200, 300);
    await setup.pass(50);

    setup.backlog.hold('another instance replays', { keepHeld: false });
    expect(releasedOnce()).toEqual([100, 200, 300]);
    expect(setup.backlog.state()).toEqual({ done: 1, held: 0 });
    await setup.pass(10_000);
    setup.backlog.go('another instance replays');
    setup.queue.put(...deliveriesAt(5_000, 5_100));
    await setup.pass(1_000);

    expect(setup.applied.slice(1)).toEqual([
      [5_000, 10_050],
      [5_100, 10_150],
    ]);
  });

  test('because another one replays, it gives back too what fails only then', async () => {
    run(0, 100, 200);
    await setup.pass(50);
    setup.next.push(lasting(100, away));
    await setup.pass(75);

    setup.backlog.hold('another instance replays', { keepHeld: false });
    await setup.pass(1_000);

    expect(releasedOnce()).toEqual([200, 100]);
    expect([...setup.queue.reasons.keys()]).toEqual(['another instance replays']);
  });
});

test('stopped in the middle, it gives back in order what waits, and settles what is being applied', async () => {
  run(...every(100, 5));
  await setup.pass(50);
  setup.next.push(lasting(500));
  await setup.pass(100);

  const stopped = setup.backlog.stop();
  expect(releasedOnce()).toEqual([200, 300, 400]);
  await setup.pass(500);
  await stopped;

  expect(setup.applied).toEqual([
    [0, 0],
    [100, 600],
  ]);
  expect(jest.getTimerCount()).toBe(0);
});
