import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Delivery, PaymentPosition, SetAsideOutcome } from '@paystream/nats';
import type { ReplaySetting } from './replay-store.ts';
import { createSifting } from './sifting.ts';
import { collectLog } from './testing/fixture.ts';
import {
  createFakeBroker,
  createFakeQueue,
  deliveriesAt,
  deliveryOf,
  positionOf,
  timesOf,
} from './testing/replaying.ts';

const setting: ReplaySetting = { mode: 'original', speed: 1, finishWithinMs: null, paused: 'none' };
const aside: SetAsideOutcome = { kind: 'aside' };
const full: SetAsideOutcome = { kind: 'full' };
const unknown: SetAsideOutcome = { kind: 'unknown', detail: 'no answer' };
// Whatever was stored before 8,000 is a backlog.
const askedAtMs = 10_000;

function create() {
  const broker = createFakeBroker();
  const live = createFakeQueue();
  const { log, lines, said } = collectLog();
  const rules: { setting: ReplaySetting | undefined; leads: boolean } = { setting, leads: true };
  const reads: (() => Promise<PaymentPosition>)[] = [];
  /** What the stream says from now on. */
  const payment = { position: positionOf([], { askedAtMs }), reads: 0 };
  const asides: number[][] = [];
  /** What the backlog says to the next calls, for each message; then it takes everything. */
  const outcomes: SetAsideOutcome[][] = [];
  const failures: unknown[] = [];
  const setAside = {
    setAside: async (deliveries: readonly Delivery[]) => {
      asides.push(timesOf(deliveries));
      const given = outcomes.shift();
      return deliveries.map((_delivery, index) => given?.[index] ?? aside);
    },
  };
  const sifting = createSifting(
    {
      broker,
      live,
      setAside,
      log,
      liveWithinMs: 2_000,
      clock: () => performance.now(),
      readPayment: async () => {
        payment.reads += 1;
        const instead = reads.shift();
        return instead === undefined ? payment.position : instead();
      },
      rules: () => rules,
    },
    (error) => failures.push(error),
  );
  const acked = () =>
    live.settled.filter(({ settlement }) => settlement.kind === 'ack').map((one) => one.storedAtMs);
  return { broker, live, lines, said, rules, reads, payment, asides, outcomes, failures, sifting, acked };
}

let setup: ReturnType<typeof create>;
beforeEach(() => {
  jest.useFakeTimers();
  setup = create();
});
afterEach(async () => {
  const stopped = setup.sifting.stop();
  await pass(1_000);
  await stopped;
  expect(setup.failures).toEqual([]);
  expect(setup.live.reasons.size).toBe(0);
  jest.useRealTimers();
});

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);
const looks = () => setup.live.reasons.has('looking for a backlog');
const holds = (...storedAtMs: number[]) => {
  setup.payment.position = positionOf(storedAtMs, { askedAtMs });
};
const handedOutThrough = (deliveredThrough: number) => {
  setup.payment.position = { ...setup.payment.position, deliveredThrough };
};
/** With a backlog up to this place. */
async function found(...storedAtMs: number[]): Promise<void> {
  holds(...storedAtMs);
  setup.sifting.begin();
  await pass(0);
}
const sift = async (...deliveries: Delivery[]) => timesOf(await setup.sifting.sift(deliveries));

describe('a look', () => {
  test('keeps live messages back until it is over', async () => {
    setup.reads.push(async () => {
      throw new Error('no answer');
    });
    setup.sifting.begin();
    await pass(199);
    expect(setup.live.reasons.get('looking for a backlog')).toEqual({ keepHeld: true });

    await pass(1);

    expect(looks()).toBe(false);
    expect(setup.sifting.busy()).toBe(false);
  });

  test.each([
    ['just old enough', 7_999, true],
    ['just young enough', 8_000, false],
  ])('finds a backlog where the oldest message is %s', async (_name, storedAtMs, isBacklog) => {
    await found(storedAtMs);

    expect([looks(), setup.sifting.busy(), setup.said('backlog.found')]).toEqual([
      false,
      isBacklog,
      isBacklog ? 1 : 0,
    ]);
  });

  test('in the mode instant asks nobody', async () => {
    setup.rules.setting = { ...setting, mode: 'instant' };

    await found(1);

    expect([looks(), setup.payment.reads]).toEqual([false, 0]);
  });

  test.each([
    ['the broker is away', (gone: boolean) => setup.broker.become(!gone)],
    [
      'everything is paused',
      (gone: boolean) => {
        setup.rules.setting = { ...setting, paused: gone ? 'all' : 'none' };
      },
    ],
  ])('lasts as long as %s, since nobody is served meanwhile', async (_name, stand) => {
    stand(true);
    await found(1);
    await pass(3_600_000);
    expect(looks()).toBe(true);

    stand(false);
    setup.reads.push(...Array.from({ length: 70 }, () => () => Promise.reject(new Error('no answer'))));
    await pass(14_000);
    expect(looks()).toBe(true);
    await pass(400);

    expect([looks(), setup.said('backlog.look-given-up')]).toEqual([false, 0]);
  });

  test.each([
    [
      'the setting is not known',
      () => {
        setup.rules.setting = undefined;
      },
    ],
    [
      'the broker does not say',
      () =>
        setup.reads.push(...Array.from({ length: 100 }, () => () => Promise.reject(new Error('no answer')))),
    ],
    [
      'nothing moves at the instance that leads',
      () => {
        setup.rules.leads = false;
      },
    ],
  ])('is given up after 15 s in which %s, with a warning', async (_name, hinder) => {
    hinder();
    await found(1);
    await pass(14_900);
    expect(looks()).toBe(true);

    await pass(200);

    expect([looks(), setup.said('backlog.look-given-up')]).toEqual([false, 1]);
  });

  test('of an instance that does not lead waits until the backlog is out of its way', async () => {
    setup.rules.leads = false;
    await found(1, 2, 3);
    for (const place of [1, 2]) {
      handedOutThrough(place);
      await pass(14_000);
      expect(looks()).toBe(true);
    }

    handedOutThrough(3);
    await pass(200);

    expect([looks(), setup.sifting.busy()]).toEqual([false, false]);
  });

  test('of an instance that comes to lead meanwhile ends, and it sets aside', async () => {
    setup.rules.leads = false;
    await found(1);
    await pass(1_000);

    setup.rules.leads = true;
    await pass(200);

    expect([looks(), setup.sifting.busy()]).toEqual([false, true]);
  });

  test('that is begun anew meanwhile does not believe what was asked before', async () => {
    let answer: (position: PaymentPosition) => void = () => undefined;
    setup.reads.push(() => new Promise((resolve) => (answer = resolve)));
    setup.sifting.begin();
    await pass(100);

    holds(1, 2);
    setup.sifting.begin();
    answer(positionOf([1], { askedAtMs }));
    await pass(0);
    expect(looks()).toBe(true);
    await pass(200);

    expect([looks(), setup.sifting.busy()]).toEqual([false, true]);
    expect(await sift(deliveryOf(2))).toEqual([]);
  });

  test('that is begun anew at the moment at which one ends is made', async () => {
    for (let ticks = 0; ticks < 12; ticks += 1) {
      holds();
      setup.sifting.begin();
      for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
      holds(1);
      setup.sifting.begin();
      await pass(400);

      expect([ticks, looks(), setup.sifting.busy()]).toEqual([ticks, false, true]);
      holds();
      await setup.sifting.finishOnce();
    }
  });

  test('tells a programming error', async () => {
    setup.broker.state = () => {
      throw new TypeError('a bug');
    };
    setup.sifting.begin();
    await pass(0);

    expect(setup.failures.splice(0)).toEqual([new TypeError('a bug')]);
    setup.live.reasons.clear();
  });
});

describe('a batch', () => {
  test('is handed on where there is no backlog', async () => {
    await found(9_000);

    expect(await sift(...deliveriesAt(1, 9_000))).toEqual([1, 9_000]);
    expect(setup.asides).toEqual([]);
  });

  test('is set aside as far as it is old, in the order of the sequence, and acknowledged after that', async () => {
    await found(1, 7_000);

    const live = await sift(
      deliveryOf(7_000),
      deliveryOf(8_001),
      deliveryOf(1),
      // Old by the broker's clock, and behind the place up to which the look has seen.
      deliveryOf(6_999, { sequence: 7_001 }),
      // As young as what is live.
      deliveryOf(8_000, { sequence: 6_998 }),
    );

    expect(live).toEqual([8_001, 6_999, 8_000]);
    expect(setup.asides).toEqual([[1, 7_000]]);
    expect(setup.acked()).toEqual([1, 7_000]);
  });

  test('is handed on in the mode instant, whatever was found before', async () => {
    await found(1, 7_000);
    setup.rules.setting = { ...setting, mode: 'instant' };

    expect(await sift(...deliveriesAt(1, 7_000))).toEqual([1, 7_000]);
  });

  test('is handed on as far as there is no room in the backlog, with a warning, and settled by nobody', async () => {
    await found(1, 2, 3);
    setup.outcomes.push([aside, full, full]);

    expect(await sift(...deliveriesAt(1, 2, 3))).toEqual([2, 3]);

    expect(setup.acked()).toEqual([1]);
    expect(setup.lines.filter(({ msg }) => msg === 'backlog.full')).toMatchObject([{ level: 40, count: 2 }]);
  });

  test('of which it is not known is tried again in hand, later each time', async () => {
    await found(1, 2);
    setup.outcomes.push([aside, unknown], [unknown], [aside]);
    const sifted = sift(...deliveriesAt(1, 2));

    await pass(399);
    expect(setup.asides).toEqual([[1, 2]]);
    await pass(1);
    expect([setup.asides.length, setup.live.working()]).toEqual([2, [2]]);
    await pass(800);

    expect(await sifted).toEqual([]);
    expect([setup.asides, setup.acked()]).toEqual([
      [[1, 2], [2], [2]],
      [1, 2],
    ]);
  });

  test('that the broker refuses five times is handed on, with an error', async () => {
    await found(1, 2);
    setup.outcomes.push(...Array.from({ length: 5 }, () => [unknown, unknown]));
    const sifted = sift(...deliveriesAt(1, 2));

    await pass(400 + 800 + 1_600 + 3_200);

    expect(await sifted).toEqual([1, 2]);
    expect(setup.asides).toHaveLength(5);
    expect(setup.lines.filter(({ msg }) => msg === 'backlog.refused')).toMatchObject([
      { level: 50, count: 2, detail: 'no answer' },
    ]);
  });

  test('waits for a broker that goes away in the middle, and its tries begin anew', async () => {
    await found(1);
    setup.outcomes.push(...Array.from({ length: 8 }, () => [unknown]));
    const sifted = sift(deliveryOf(1));
    await pass(400 + 800 + 1_600);
    expect(setup.asides).toHaveLength(4);

    setup.broker.become(false);
    await pass(3_600_000);
    expect(setup.asides).toHaveLength(5);
    setup.broker.become(true);
    await pass(800 + 1_600);
    expect(setup.asides).toHaveLength(8);
    await pass(3_200);

    expect(await sifted).toEqual([]);
    expect(setup.said('backlog.refused')).toBe(0);
  });

  test.each([[true], [false]])('is given back at a stop (broker up: %s)', async (up) => {
    await found(1, 2);
    setup.outcomes.push([aside, unknown], [unknown], [unknown]);
    const sifted = sift(...deliveriesAt(1, 2));
    setup.broker.become(up);
    await pass(100);

    void setup.sifting.stop();
    await pass(0);

    expect(await sifted).toEqual([]);
    expect(setup.live.settled).toEqual([
      { storedAtMs: 1, settlement: { kind: 'ack' } },
      { storedAtMs: 2, settlement: { kind: 'release', at: 'once' } },
    ]);
    setup.broker.become(true);
  });
});

describe('setting aside is over', () => {
  const isOver = async () => {
    await setup.sifting.finishOnce();
    return !setup.sifting.busy();
  };

  test('when nothing old is left, and says how much it was and how long it took', async () => {
    await found(1, 2);
    await pass(100);
    await sift(...deliveriesAt(1, 2));
    await pass(100);
    expect(await isOver()).toBe(false);

    holds(8_500);

    expect(await isOver()).toBe(true);
    expect(setup.lines.filter(({ msg }) => msg === 'backlog.set-aside')).toMatchObject([
      { count: 2, tookMs: 100 },
    ]);
    expect(await isOver()).toBe(true);
    expect(setup.said('backlog.set-aside')).toBe(1);
  });

  test('when all was handed out and nothing came for 2 s: what fails again and again stays for long', async () => {
    await found(1, 2);
    handedOutThrough(2);
    await pass(2_000);
    expect(await isOver()).toBe(false);

    await pass(1);

    expect(await isOver()).toBe(true);
  });

  test('not while it is looked for another one', async () => {
    await found(1);
    holds();
    setup.broker.become(false);
    setup.sifting.begin();
    await pass(0);

    expect(await isOver()).toBe(false);
    setup.broker.become(true);
  });

  test('not when the broker does not say', async () => {
    await found(1);
    setup.reads.push(() => Promise.reject(new Error('no answer')));

    await expect(setup.sifting.finishOnce()).rejects.toThrow('no answer');
    expect(setup.sifting.busy()).toBe(true);
  });
});
