import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import mongoose from 'mongoose';
import { eventually, testMongoUri } from '../../test/harness.ts';
import type { Candidacy, LeaderProgress, ReplayChange, ReplayStore } from './replay-store.ts';
import { StoreUnavailable } from './store.ts';
import { createMongoLink, type MongoLink } from './store-mongo-connection.ts';
import { createMongoReplayStore } from './store-mongo-replay.ts';
import { collectLog, startOwnMongod } from './testing/fixture.ts';

let uri: string;
let logged: ReturnType<typeof collectLog>;
let store: ReplayStore;
const opened: { close(): Promise<unknown> }[] = [];

beforeEach(async () => {
  uri = testMongoUri();
  logged = collectLog();
  store = createMongoReplayStore({ link: await openLink(uri), log: logged.log });
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

async function openLink(of: string): Promise<MongoLink> {
  const link = createMongoLink({ uri: of, log: logged.log });
  opened.push(link);
  await link.open(async () => undefined);
  return link;
}
/** Past our own code. */
async function settings() {
  const connection = await mongoose.createConnection(uri).asPromise();
  opened.push(connection);
  return connection.collection<{ _id: string }>('settings');
}

const nothing: LeaderProgress = { settingAside: false, beganAt: undefined };
// Longer than a test; where one must end, the test says so.
const leaseMs = 60_000;
const follow = (owner: string, said: Partial<Candidacy> = {}) =>
  store.follow({ owner, candidate: true, leaseMs, progress: nothing, ...said });
const leads = async (owner: string, said: Partial<Candidacy> = {}) => (await follow(owner, said)).leads;
const change: ReplayChange = {
  setting: { mode: 'original', speed: 4, finishWithinMs: null, paused: 'replay' },
  changedBy: 'otto',
  changedAt: new Date('2026-02-03T04:05:06.789Z'),
  reason: 'a test',
};

describe('the lease', () => {
  test('is taken by exactly one of many who ask at the same time, where nothing was stored yet', async () => {
    const owners = Array.from({ length: 12 }, (_, index) => `instance-${index}`);

    const asked = await Promise.all(owners.map((owner) => leads(owner)));

    expect(asked.filter((one) => one)).toHaveLength(1);
    const leader = owners[asked.indexOf(true)];
    expect(await Promise.all(owners.map((owner) => leads(owner)))).toEqual(
      owners.map((owner) => owner === leader),
    );
  });

  test('is not for who only follows, and kept by who leads and only follows for once', async () => {
    expect(await leads('a', { candidate: false })).toBe(false);
    expect(await leads('a')).toBe(true);
    expect(await leads('a', { candidate: false })).toBe(true);
    expect(await leads('b')).toBe(false);
  });

  test('is kept as long as it is renewed, and for others when its time is over', async () => {
    await follow('a', { leaseMs: 100 });
    await follow('a', { leaseMs });
    expect(await leads('b')).toBe(false);
    await follow('a', { leaseMs: 1 });

    await eventually(() => leads('b'), { until: (taken) => taken });

    expect(await leads('a')).toBe(false);
  });

  test('that is released is free at once, and only its owner can release it', async () => {
    await follow('a');
    await store.release('b');
    expect(await leads('b')).toBe(false);

    await store.release('a');
    await store.release('a');

    expect(await leads('a', { candidate: false })).toBe(false);
    expect(await leads('b')).toBe(true);
  });

  test('takes a name that looks like an expression for a name', async () => {
    expect(await leads('$$NOW')).toBe(true);
    expect(await leads('$lease.owner')).toBe(false);
  });
});

describe('the progress', () => {
  const beganAt = new Date('2026-02-03T04:05:06.789Z');

  test('is told to the others', async () => {
    await follow('a', { progress: { settingAside: true, beganAt } });

    expect(await follow('b', { progress: { settingAside: false, beganAt: null } })).toMatchObject({
      leads: false,
      progress: { settingAside: true, beganAt },
    });
  });

  test('outlives who told it, until the successor knows better', async () => {
    await follow('a', { progress: { settingAside: true, beganAt } });
    await store.release('a');

    expect(await follow('b')).toMatchObject({ leads: true, progress: { settingAside: false, beganAt } });
    expect(
      (await follow('b', { progress: { settingAside: false, beganAt: null } })).progress.beganAt,
    ).toBeNull();
  });

  test('is none where nobody ever led', async () => {
    expect(await follow('a', { candidate: false })).toEqual({
      change: undefined,
      leads: false,
      progress: { settingAside: false, beganAt: null },
    });
  });
});

describe('the setting', () => {
  test('is what was saved last, and saving it keeps the lease and the progress', async () => {
    await follow('a', { progress: { settingAside: true, beganAt: null } });

    const first = { ...change, changedAt: new Date(1), reason: 'the first' };
    expect(await store.save(first, undefined)).toBe(true);
    expect(await store.save(change, first.changedAt)).toBe(true);

    expect(await follow('b')).toEqual({
      change,
      stamp: change.changedAt,
      leads: false,
      progress: { settingAside: true, beganAt: null },
    });
    expect(await leads('a')).toBe(true);
  });

  test('can be saved before anybody led, and taking the lease keeps it', async () => {
    await store.save(change, undefined);

    expect(await follow('a')).toMatchObject({ leads: true, change });
  });

  test('is not saved over one that another saved meanwhile', async () => {
    const other = { ...change, changedAt: new Date(1), reason: 'another' };
    await store.save(other, undefined);

    expect(await store.save(change, undefined)).toBe(false);
    expect(await store.save(change, new Date(2))).toBe(false);
    expect(await follow('a')).toMatchObject({ change: other, stamp: other.changedAt });
  });

  test('that nobody can read is not obeyed, and is told once, and again when it is another one', async () => {
    await store.save(change, undefined);
    const direct = await settings();
    await direct.updateOne({ _id: 'replay' }, { $set: { 'change.setting.speed': 100_000 } });

    expect((await follow('a')).change).toBeUndefined();
    expect((await follow('a')).change).toBeUndefined();
    expect(logged.lines.filter(({ msg }) => msg === 'replay.setting-unreadable')).toMatchObject([
      { level: 50, detail: expect.stringContaining('speed') },
    ]);

    await direct.updateOne({ _id: 'replay' }, { $set: { 'change.setting.paused': 'nothing' } });
    await follow('a');
    expect(logged.said('replay.setting-unreadable')).toBe(2);
    const { stamp } = await follow('a');
    const mended = { ...change, changedAt: new Date(1) };
    expect(await store.save(mended, stamp)).toBe(true);
    expect((await follow('a')).change).toEqual(mended);
  });
});

test('without the database every call says so', async () => {
  const mongod = await startOwnMongod();
  opened.push(mongod);
  const link = await openLink(mongod.uri);
  store = createMongoReplayStore({ link, log: logged.log });
  await mongod.kill();

  for (const call of [() => follow('a'), () => store.release('a'), () => store.save(change, undefined)]) {
    await expect(call()).rejects.toThrow(StoreUnavailable);
  }
});

test('a server that fails with an error that nobody knows is waited for', async () => {
  const mongod = await startOwnMongod({ args: ['--setParameter', 'enableTestCommands=1'] });
  try {
    const link = await openLink(mongod.uri);
    const failing = createMongoReplayStore({ link, log: logged.log });
    const ask = (candidate: boolean) =>
      failing.follow({ owner: 'one', candidate, leaseMs, progress: nothing });
    await ask(true);
    await link.connection
      .getClient()
      .db('admin')
      .command({
        configureFailPoint: 'failCommand',
        mode: 'alwaysOn',
        data: { failCommands: ['find', 'findAndModify', 'update'], errorCode: 8 },
      });

    await expect(ask(true)).rejects.toThrow(StoreUnavailable);
    await expect(ask(false)).rejects.toThrow(StoreUnavailable);
    await expect(failing.save(change, undefined)).rejects.toThrow(StoreUnavailable);
    await expect(failing.release('one')).rejects.toThrow(StoreUnavailable);
  } finally {
    await Promise.all(opened.splice(0).map((one) => one.close()));
    await mongod.close();
  }
});
