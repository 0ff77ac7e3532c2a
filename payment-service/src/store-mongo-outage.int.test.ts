import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort, resolveServers } from '@paystream/local';
import { eventually, throwAwayFolder } from '../../test/harness.ts';
import { recordEvents } from './record-events.ts';
import { StoreUnavailable, type TransactionStore } from './store.ts';
import { createMongoStore } from './store-mongo.ts';
import {
  changeOf,
  collectLog,
  eventOf,
  type OwnMongod,
  openStore,
  startOwnMongod,
  timed,
} from './testing/fixture.ts';

const now = () => new Date('2026-02-03T04:05:06.789Z');
let mongod: OwnMongod;
let store: TransactionStore;
let port: number;
const opened: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  port = await freePort();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

const begin = async () => {
  const logged = collectLog();
  mongod = await startOwnMongod();
  store = await openStore(mongod.uri, { log: logged.log });
  opened.push(store, mongod);
  return logged;
};
const untilAway = () => eventually(() => store.state(), { within: 5_000, until: ({ ok }) => !ok });
const untilBack = () => eventually(() => store.state(), { within: 15_000, until: ({ ok }) => ok });

/** Every way to ask, and how long the answer may take: what a caller waits for while the database is away. */
const everyCall = (): [string, () => Promise<unknown>][] => [
  ['readRecords', () => store.readRecords(['a'])],
  ['writeChanges', () => store.writeChanges([changeOf(undefined, eventOf())], now())],
  ['findTransaction', () => store.findTransaction('a')],
  ['findVersion', () => store.findVersion('a')],
  ['listTransactions', () => store.listTransactions({ limit: 1 })],
  ['ping', () => store.ping()],
];

async function allUnavailable(within: number): Promise<void> {
  const answers = await Promise.all(
    everyCall().map(async ([name, call]) => ({ name, ...(await timed(call)) })),
  );
  for (const { name, outcome, ms } of answers) {
    expect([name, outcome]).toEqual([name, expect.any(StoreUnavailable)]);
    expect(ms).toBeLessThan(within);
  }
}

describe('the store', () => {
  test('waits for a database that is not there yet, without a line for every look', async () => {
    const { log, said } = collectLog();
    const early = createMongoStore({ uri: `mongodb://127.0.0.1:${port}/early?replicaSet=rs0`, log });
    opened.push(early);

    const prepared = early.prepare(AbortSignal.timeout(30_000));
    await eventually(() => early.state().detail, { until: (detail) => detail.includes('ECONNREFUSED') });
    await expect(early.findVersion('a')).rejects.toThrow(StoreUnavailable);
    const late = await startOwnMongod({ port });
    opened.push(late);
    await prepared;

    expect(early.state()).toEqual({ ok: true, detail: 'connected' });
    expect(await early.writeChanges([changeOf(undefined, eventOf())], now())).toMatchObject({
      complete: true,
    });
    expect([said('database.away'), said('database.connected')]).toEqual([1, 1]);
  });

  test('gives up waiting when it is told to stop', async () => {
    const early = createMongoStore({
      uri: `mongodb://127.0.0.1:${port}/x?replicaSet=rs0`,
      log: collectLog().log,
    });
    opened.push(early);
    const stop = new AbortController();

    const prepared = early.prepare(stop.signal);
    stop.abort();

    expect((await timed(() => prepared)).ms).toBeLessThan(3_500);
    expect(early.state().ok).toBe(false);
  });

  test('refuses a mongod that runs alone, however it is asked for, and says what is missing', async () => {
    const alone = await startAlone();
    opened.push(alone);
    const addresses = [
      '',
      '?directConnection=true',
      '?replicaSet=rs0',
      '?replicaSet=rs0&directConnection=true',
    ];

    const details = await Promise.all(
      addresses.map(async (options) => {
        const refusing = createMongoStore({ uri: `${alone.uri}/x${options}`, log: collectLog().log });
        opened.push(refusing);
        const stop = new AbortController();
        const prepared = refusing.prepare(stop.signal);
        const seen = await eventually(refusing.state, {
          until: ({ detail }) => detail.includes('replica set'),
        });
        stop.abort();
        await prepared;
        return seen;
      }),
    );

    for (const { ok, detail } of details) {
      expect(ok).toBe(false);
      expect(detail).toMatch(/must run as a replica set|member of the replica set that MONGO_URI names/);
    }
  });

  test('says at once that a killed database is away, and goes on when it is back with what it had', async () => {
    const { said } = await begin();
    const event = eventOf();
    await store.writeChanges([changeOf(undefined, event)], now());

    await mongod.kill();
    await allUnavailable(3_000);
    await untilAway();
    await mongod.startAgain();
    await untilBack();

    expect(await store.findVersion(event.txId)).toBe(1);
    expect(await store.writeChanges([changeOf(undefined, eventOf())], now())).toMatchObject({
      complete: true,
    });
    expect([said('database.away'), said('database.connected')]).toEqual([1, 2]);
  });

  test('gives up on a database that stands still, and goes on when it moves again', async () => {
    const { said } = await begin();

    mongod.pause();
    await allUnavailable(10_000);
    await untilAway();
    mongod.resume();
    await untilBack();

    await store.ping();
    expect(await store.writeChanges([changeOf(undefined, eventOf())], now())).toMatchObject({
      complete: true,
    });
    expect([said('database.away'), said('database.connected')]).toEqual([1, 2]);
  });

  test('closes soon while a call waits for a database that stands still', async () => {
    await begin();

    mongod.pause();
    const waiting = timed(() => store.writeChanges([changeOf(undefined, eventOf())], now()));
    const { ms } = await timed(() => store.close());

    expect(ms).toBeLessThan(3_000);
    expect((await waiting).outcome).toBeInstanceOf(StoreUnavailable);
    expect((await waiting).ms).toBeLessThan(3_000);
  });

  test('loses nothing and doubles nothing when the database dies again and again under writes', async () => {
    await begin();
    const events = Array.from({ length: 400 }, (_, index) =>
      eventOf({ txId: `stripe:${index % 40}`, action: 'UPDATE', amount: index }),
    );
    const queue = [...events, ...events];
    const work = async () => {
      for (let batch = queue.splice(0, 20); batch.length > 0; batch = queue.splice(0, 20)) {
        const outcomes = await recordEvents({ store, now }, batch).catch((error: unknown) => {
          expect(error).toBeInstanceOf(StoreUnavailable);
          return [];
        });
        queue.push(...batch.filter((_, index) => (outcomes[index]?.kind ?? 'retry') === 'retry'));
      }
    };

    const working = Promise.all([work(), work(), work()]);
    for (let round = 0; round < 2; round += 1) {
      const left = queue.length;
      await eventually(() => queue.length, { every: 1, until: (length) => length !== left });
      await mongod.kill();
      await mongod.startAgain();
    }
    await working;

    const records = await store.readRecords([...new Set(events.map(({ txId }) => txId))]);
    const held = [...records.values()].flatMap(({ actionHistory }) =>
      actionHistory.map(({ amount }) => amount),
    );
    expect(held.toSorted((left, right) => left - right)).toEqual(events.map(({ amount }) => amount));
  });
});

/** A mongod without a replica set, as a plain installation has it. */
async function startAlone() {
  const folder = throwAwayFolder('alone');
  const alonePort = await freePort();
  const args = ['--port', String(alonePort), '--dbpath', folder.path, '--bind_ip', '127.0.0.1'];
  const child = spawn(resolveServers().mongod, args, { stdio: 'ignore' });
  return {
    uri: `mongodb://127.0.0.1:${alonePort}`,
    close: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
      folder.remove();
    },
  };
}
