import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { type OwnMongod, startOwnMongod } from '../payment-service/src/testing/fixture.ts';
import { eventually, get, post, type System, startSystem, untilQuiet, webhook } from './harness.ts';
import { type Scrape, scrape, untilScraped } from './metrics-text.ts';

let system: System;
let mongod: OwnMongod;
let gateway: Service;
let payments: Service;

beforeAll(async () => {
  [system, mongod] = await Promise.all([startSystem(), startOwnMongod()]);
  const env = { MONGO_URI: mongod.uri, REPLAY_SPEED: '100', REPLAY_LIVE_WITHIN: '100ms' };
  [gateway, payments] = await Promise.all([system.startGateway(), system.startPayments(env)]);
  await Promise.all([gateway.ready(), payments.ready()]);
});
afterAll(async () => {
  await system.close();
  await mongod.close();
});

/** Sends 100 a second and scrapes 20 times a second until told to stop; gives back what was scraped. */
function sendAndScrape() {
  const scrapes: Scrape[] = [];
  const begun: Promise<unknown>[] = [];
  const timers = [
    setInterval(() => begun.push(post(gateway, webhook()).catch(() => undefined)), 10),
    setInterval(() => begun.push(scrape(payments).then((seen) => scrapes.push(seen))), 50),
  ];
  return {
    scrapes,
    stop: async () => {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(begun);
    },
  };
}

const outcomes = (seen: Scrape, outcome: string) =>
  seen.value('paystream_deliveries_total', { outcome }) ?? 0;
const appliedMore = async (than: number) =>
  eventually(() => scrape(payments), { within: 30_000, until: (seen) => outcomes(seen, 'applied') > than });
const partIs = (service: Service, part: string, value: number) =>
  untilScraped(service, { [`paystream_part_ok{part="${part}"}`]: value });

describe('the balance', () => {
  let load: ReturnType<typeof sendAndScrape> | undefined;
  // Also when the test has failed before it came to that.
  afterEach(() => load?.stop());

  test('is 0 at every scrape, under load, while the database and the broker go and come back, and at rest', async () => {
    load = sendAndScrape();
    await appliedMore(100);
    // What it has in hand now is given back when the database is gone.
    mongod.pause();
    await eventually(() => scrape(payments), {
      until: (seen) => (seen.value('paystream_deliveries_in_hand') ?? 0) > 0,
    });
    await mongod.kill();
    await partIs(payments, 'database', 0);
    // The driver tries a write once more by itself, and would have it done if the database were back at once.
    await eventually(() => scrape(payments), { until: (seen) => outcomes(seen, 'released') > 0 });
    await mongod.startAgain();
    await appliedMore(outcomes(await partIs(payments, 'database', 1), 'applied'));
    await system.restartBroker('SIGKILL');
    await appliedMore(outcomes(await partIs(payments, 'broker', 1), 'applied'));
    await load.stop();
    await untilQuiet(system);

    const rest = await untilScraped(payments, {
      'paystream_deliveries_in_hand{queue="payment"}': 0,
      'paystream_deliveries_in_hand{queue="backlog"}': 0,
      paystream_deliveries_balance: 0,
    });
    const balances = load.scrapes.map((seen) => seen.value('paystream_deliveries_balance'));
    const inHand = load.scrapes.map((seen) => seen.value('paystream_deliveries_in_hand') ?? 0);
    expect(new Set(balances)).toEqual(new Set([0]));
    expect(balances.length).toBeGreaterThan(20);
    // It was looked at in the middle of work, and not only between.
    expect(Math.max(...inHand)).toBeGreaterThan(0);
    expect(rest.value('paystream_deliveries_taken_total')).toBe(rest.value('paystream_deliveries_total'));
    // Nobody hears an answer twice, and everything that was stored was applied or recognised.
    const stored = (await scrape(gateway)).value('paystream_publishes_total', { outcome: 'stored' }) ?? 0;
    expect(outcomes(rest, 'applied') + outcomes(rest, 'duplicate')).toBeGreaterThanOrEqual(stored);
  });
});

describe('a scrape while the broker', () => {
  const timed = async () => {
    const from = performance.now();
    const seen = await scrape(payments);
    return { seen, ms: performance.now() - from };
  };
  const brokerFigures = (seen: Scrape) =>
    [
      'paystream_lag_messages',
      'paystream_lag_seconds',
      'paystream_queue_bytes',
      'paystream_queue_limit_bytes',
      'paystream_dead_letters',
      'paystream_dead_letters_oldest_age_seconds',
    ].filter((name) => seen.value(name) !== undefined);

  test('stands still is answered in time, without what only the broker knows', async () => {
    await untilScraped(payments, { 'paystream_lag_messages{queue="payment"}': 0 });
    system.broker.pause();
    try {
      const { seen } = await eventually(timed, { until: (one) => brokerFigures(one.seen).length === 0 });
      const again = await timed();

      expect(again.ms).toBeLessThan(2_000);
      expect(brokerFigures(again.seen)).toEqual([]);
      expect(seen.value('paystream_deliveries_balance')).toBe(0);
      expect(seen.value('paystream_deliveries_total')).toBeGreaterThan(0);
    } finally {
      system.broker.resume();
    }
    await untilScraped(payments, { 'paystream_lag_messages{queue="payment"}': 0 });
  });

  test('is gone is answered at once', async () => {
    await untilScraped(payments, { 'paystream_part_ok{part="broker"}': 1 });
    await system.broker.stop();
    await partIs(payments, 'broker', 0);
    await eventually(timed, { until: (one) => brokerFigures(one.seen).length === 0 });

    const { ms } = await timed();
    const ofGateway = await partIs(gateway, 'broker', 0);
    await post(gateway, webhook());
    await post(gateway, webhook());
    const refused = await scrape(gateway);

    expect(ms).toBeLessThan(500);
    expect(ofGateway.value('paystream_ready')).toBe(0);
    expect(refused.value('paystream_webhooks_total', { outcome: 'unavailable' })).toBeGreaterThanOrEqual(2);
    expect(refused.value('paystream_publishes_total', { outcome: 'broker-down' })).toBeGreaterThanOrEqual(2);
    await system.restartBroker();
    await partIs(payments, 'broker', 1);
  });
});

test('many scrapes at a time ask the broker once', async () => {
  const counter = await system.nats();
  let asked = 0;
  const subscription = counter.subscribe('$JS.API.STREAM.INFO.payment-dead-letters', {
    callback: () => {
      asked += 1;
    },
  });
  await counter.flush();

  const answers = await Promise.all(Array.from({ length: 50 }, () => get(payments, '/metrics')));
  await counter.flush();
  subscription.unsubscribe();

  expect(answers.every(({ status }) => status === 200)).toBe(true);
  // The comparison of the settings asks for it every five seconds too.
  expect(asked).toBeLessThanOrEqual(3);
});
