import { afterEach, describe, expect, test } from '@jest/globals';
import mongoose from 'mongoose';
import { testMongoUri } from '../../test/harness.ts';
import { StoreUnavailable } from './store.ts';
import { createMongoStore } from './store-mongo.ts';
import { createMongoLink } from './store-mongo-connection.ts';
import { createMongoReplayStore } from './store-mongo-replay.ts';
import { changeOf, collectLog, eventOf, openStore } from './testing/fixture.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

/** Past our own code, to see what is really there. */
async function connect(uri: string): Promise<mongoose.Connection> {
  const connection = await mongoose.createConnection(uri).asPromise();
  opened.push(connection);
  return connection;
}

const now = new Date('2026-02-03T04:05:06.789Z');

describe('prepare', () => {
  test('builds the indexes, the one on txId unique', async () => {
    const uri = testMongoUri();
    opened.push(await openStore(uri));
    const direct = await connect(uri);
    const indexes = await direct.collection('transactions').indexes();

    expect(indexes.map(({ key, unique }) => [key, unique])).toEqual([
      [{ _id: 1 }, undefined],
      [{ txId: 1 }, true],
      [{ createdAt: -1, _id: -1 }, undefined],
      [{ status: 1, createdAt: -1, _id: -1 }, undefined],
      [{ source: 1, createdAt: -1, _id: -1 }, undefined],
      [{ action: 1, createdAt: -1, _id: -1 }, undefined],
    ]);
  });

  test.each<[string, (other: mongoose.Connection) => Promise<unknown>]>([
    [
      'an index on txId that is not unique',
      (other) => other.collection('transactions').createIndex({ txId: 1 }),
    ],
    [
      'one txId twice',
      (other) => other.collection('transactions').insertMany([{ txId: 'a' }, { txId: 'a' }]),
    ],
  ])('never ends on %s, and names it', async (_, spoil) => {
    const other = testMongoUri();
    await spoil(await connect(other));
    const { log, said } = collectLog();
    const unprepared = createMongoStore({ uri: other, log });
    opened.push(unprepared);

    // Long enough to look twice.
    await unprepared.prepare(AbortSignal.timeout(1_200));

    expect(unprepared.state()).toEqual({ ok: false, detail: expect.stringMatching(/index|duplicate key/) });
    expect(said('database.away')).toBe(1);
  });

  test.each(['mongodb://', 'mongodb://user:secret@host:port/x', 'mongodb://h/x?nonsense=1', 'nats://h'])(
    'is not even begun with %p, and the password is not told on',
    (address) => {
      const create = () => createMongoStore({ uri: address, log: collectLog().log });

      expect(create).toThrow(/MONGO_URI: /);
      expect(create).not.toThrow(/secret/);
    },
  );
});

test('nothing is begun on a link that is being closed, where no answer would be waited for', async () => {
  const uri = testMongoUri();
  const { log } = collectLog();
  const link = createMongoLink({ uri, log });
  const store = await openStore(uri, { link });
  const replay = createMongoReplayStore({ link, log });

  const closed = link.close();

  await expect(replay.release('nobody')).rejects.toThrow(StoreUnavailable);
  await expect(store.ping()).rejects.toThrow(StoreUnavailable);
  await expect(store.readRecords(['a'])).rejects.toThrow(StoreUnavailable);
  await expect(store.writeChanges([changeOf(undefined, eventOf())], now)).rejects.toThrow(StoreUnavailable);
  await closed;
});

describe('the commands', () => {
  test('write to a journaled majority and read from it, one for all inserts and one for all updates, whatever the address says', async () => {
    const careless = `${testMongoUri()}&w=1&journal=false&readConcernLevel=local&retryWrites=false&monitorCommands=true`;
    const other = await openStore(careless);
    opened.push(other);
    const sent: { name: string; command: mongoose.mongo.BSON.Document }[] = [];
    mongoose.connections
      .at(-1)
      ?.getClient()
      .on('commandStarted', ({ commandName, command }) => sent.push({ name: commandName, command }));
    const events = Array.from({ length: 20 }, () => eventOf());

    await other.writeChanges(
      events.slice(0, 10).map((event) => changeOf(undefined, event)),
      now,
    );
    const records = await other.readRecords(events.map(({ txId }) => txId));
    await other.writeChanges(
      events.map(({ txId }) => changeOf(records.get(txId), eventOf({ txId, action: 'UPDATE' }))),
      now,
    );

    const own = sent.filter(({ name }) => name !== 'endSessions');
    expect(own.map(({ name }) => name)).toEqual(['insert', 'find', 'insert', 'update']);
    for (const { name, command } of own) {
      if (name === 'find') expect(command.readConcern).toEqual({ level: 'majority' });
      else expect(command.writeConcern).toEqual({ w: 'majority', j: true });
      // A number makes the write retryable: sent again after a lost answer, it is done once.
      if (name !== 'find') expect(command.txnNumber).toBeDefined();
    }
  });
});
