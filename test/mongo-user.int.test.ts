import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { operatorEntry } from '@paystream/runtime';
import mongoose from 'mongoose';
import { createMongoLink } from '../payment-service/src/store-mongo-connection.ts';
import { createMongoSuspects } from '../payment-service/src/store-mongo-suspects.ts';
import { collectLog } from '../payment-service/src/testing/fixture.ts';
import {
  type GuardedMongod,
  paymentsPassword,
  runUserScriptWithoutPassword,
  startGuardedMongod,
} from './guarded-mongod.ts';
import { eventually, get, post, type System, startSystem, throwAwayFolder, webhook } from './harness.ts';

const folder = throwAwayFolder('mongo-user');
const sources = join(folder.path, 'sources.yaml');
writeFileSync(
  sources,
  `x-payment: { adapter: x-payment, verify: none }
acme:
  adapter: hmac
  verify: none
  currency: EUR
  mapping: { txId: $.order, action: { path: $.state, values: { new: NEW } }, amount: $.total }
`,
);
const database = 'paystream';
const payments = `payments:${paymentsPassword}`;
const authorization = { authorization: 'Bearer otto-token', 'content-type': 'application/json' };

let mongod: GuardedMongod;
let system: System;
let gateway: Service;
let service: Service;
let admin: mongoose.mongo.MongoClient;
let user: mongoose.mongo.MongoClient;
beforeAll(async () => {
  mongod = await startGuardedMongod();
  system = await startSystem();
  gateway = await system.startGateway({ SOURCES_FILE: sources });
  service = await system.startPayments({
    MONGO_URI: mongod.uriAs(payments, database),
    OPERATOR_TOKENS: operatorEntry({ name: 'otto', role: 'operator', token: 'otto-token' }),
  });
  await Promise.all([gateway.ready(), service.ready()]);
  admin = await mongod.admin();
  user = await new mongoose.mongo.MongoClient(mongod.uriAs(payments, database)).connect();
});
afterAll(async () => {
  await user.close();
  await system.close();
  await mongod.close();
  folder.remove();
});

const indexesOf = async (name: string) =>
  (await admin.db(database).collection(name).indexes()).map(({ key }) => Object.keys(key).join());

describe('the user that payment-service/mongo/user.js makes', () => {
  test('is enough for a payment, again and changed, and for reading it', async () => {
    const first = webhook();
    await post(gateway, first);
    await post(gateway, first);
    await post(gateway, { ...first, action: 'UPDATE', amount: 7 });

    const { body } = await eventually(() => get(service, `/transactions/${first.txId}?wait=5`), {
      until: ({ body: seen }) => seen.actionHistory?.length === 2,
    });
    const page = await get(service, '/transactions?status=updated&source=x-payment&limit=1');

    expect(body).toMatchObject({ status: 'updated', amount: 7 });
    expect(page.body.items).toHaveLength(1);
    expect((await indexesOf('transactions')).sort()).toEqual([
      '_id',
      'action,createdAt,_id',
      'createdAt,_id',
      'source,createdAt,_id',
      'status,createdAt,_id',
      'txId',
    ]);
  });

  test('is enough for webhooks that are kept, and for having one translated again', async () => {
    const sent = await post(gateway, { order: 1, state: 'odd', total: 1 }, { path: '/webhooks/acme' });
    const id = sent.body.id.split('.').at(-1);

    await eventually(() => get(service, `/webhooks-received/${id}`), {
      until: ({ status }) => status === 200,
    });
    const again = await post(
      service,
      { reason: 'a test' },
      { path: `/webhooks-received/${id}/translate`, headers: authorization },
    );

    expect([again.status, again.body.messages]).toEqual([200, 0]);
    expect(await indexesOf('webhooks')).toEqual(['_id', 'expiresAt']);
  });

  test('may find that nobody may write for a while, longer than a lease lasts: the service waits and goes on', async () => {
    const block = (global: boolean) => admin.db('admin').command({ setUserWriteBlockMode: 1, global });
    const body = webhook();
    const blockedAt = Date.now();
    await block(true);
    try {
      await post(gateway, body);
      await eventually(() => get(service, '/readyz'), { until: ({ status }) => status === 503 });
      await eventually(() => Date.now() - blockedAt, { until: (ms) => ms > 5_000 });
      expect((await get(service, `/transactions/${body.txId}`)).status).toBe(404);
    } finally {
      await block(false);
    }

    const { body: stored } = await eventually(() => get(service, `/transactions/${body.txId}?wait=5`), {
      until: ({ status }) => status === 200,
    });
    expect(stored.actionHistory).toHaveLength(1);
    await eventually(() => get(service, '/readyz'), { until: ({ status }) => status === 200 });
  });

  test('is enough for the settings of the replay', async () => {
    const changed = await fetch(`${service.url}/replay`, {
      method: 'PUT',
      headers: authorization,
      body: JSON.stringify({ speed: 4, reason: 'a test' }),
    });

    expect(changed.status).toBe(200);
    expect((await get(service, '/replay')).body).toMatchObject({ speed: 4 });
  });

  test('is enough for redrives and their record', async () => {
    const nats = await system.nats();
    await nats.jetstream().publish('payments.new', 'nonsense');
    const { body: list } = await eventually(() => get(service, '/dead-letters'), {
      until: ({ body: seen }) => seen.items.length > 0,
    });
    const seq = list.items[0].sequence;

    const { body } = await post(
      service,
      { reason: 'a test' },
      { path: `/dead-letters/${seq}/redrive`, headers: authorization },
    );
    const { body: record } = await get(service, `/redrives?sequence=${seq}`);
    const { body: letter } = await get(service, `/dead-letters/${seq}`);

    expect(body.outcome).toBe('failed');
    expect(record.items).toMatchObject([{ by: 'otto', reason: 'a test' }]);
    expect(letter.redrive ?? letter.redrives).toBeDefined();
    expect(await indexesOf('redrives')).toEqual(['_id', 'letter,_id', 'sequence,_id']);
  });

  test('is enough for the markers of suspects, up to their removal', async () => {
    const link = createMongoLink({ uri: mongod.uriAs(payments, database), log: collectLog().log });
    await link.open(async () => undefined);
    const suspects = createMongoSuspects({ link });
    const attempt = { id: randomUUID(), at: new Date(), error: '' };

    expect(await suspects.mark('m:1', attempt)).toEqual({ kind: 'marked' });
    await suspects.explain('m:1', { ...attempt, error: 'a bug' });
    await suspects.takeBack('m:1', attempt);
    await suspects.clear('m:1');

    expect(await admin.db(database).collection('suspects').countDocuments()).toBe(0);
    expect(await indexesOf('suspects')).toEqual(['_id', 'markedAt']);
    await link.close();
  });

  const ours = ['transactions', 'webhooks', 'redrives', 'suspects', 'settings'];
  test.each<[string, (of: mongoose.mongo.MongoClient) => Promise<unknown>]>([
    ['drop the database', (of) => of.db(database).dropDatabase()],
    ...ours.map((name): [string, (of: mongoose.mongo.MongoClient) => Promise<unknown>] => [
      `drop ${name}`,
      (of) => of.db(database).collection(name).drop(),
    ]),
    ...ours
      .filter((name) => name !== 'suspects')
      .map((name): [string, (of: mongoose.mongo.MongoClient) => Promise<unknown>] => [
        `remove from ${name}`,
        (of) => of.db(database).collection(name).deleteMany({}),
      ]),
    ['drop an index', (of) => of.db(database).collection('transactions').dropIndex('txId_1')],
    ['rename a collection', (of) => of.db(database).collection('transactions').rename('gone')],
    ['write over a collection', (of) => aggregateInto(of, 'webhooks')],
    ['change a collection', (of) => of.db(database).command({ collMod: 'transactions', validator: {} })],
    ['turn a collection into a capped one', (of) => capped(of)],
    ['write elsewhere in the database', (of) => of.db(database).collection('others').insertOne({ a: 1 })],
    ['read another database', (of) => of.db('others').collection('secrets').findOne()],
    ['write to another database', (of) => of.db('others').collection('secrets').insertOne({ a: 1 })],
    ['read the oplog', (of) => of.db('local').collection('oplog.rs').findOne()],
    ['read the users', (of) => of.db('admin').collection('system.users').findOne()],
    ['make a user', (of) => of.db(database).command({ createUser: 'me', pwd: 'x', roles: [] })],
    [
      'change its own rights',
      (of) => of.db(database).command({ grantRolesToUser: 'payments', roles: ['dbOwner'] }),
    ],
    [
      'change its role',
      (of) => of.db(database).command({ updateRole: 'paystream-payment-service', roles: ['dbOwner'] }),
    ],
    ['watch the changes', (of) => of.db(database).collection('transactions').watch().tryNext()],
    ['stop the server', (of) => of.db('admin').command({ shutdown: 1 })],
    ['change the server', (of) => of.db('admin').command({ setParameter: 1, logLevel: 1 })],
    ['change the replica set', (of) => of.db('admin').command({ replSetStepDown: 60 })],
    ['read the log of the server', (of) => of.db('admin').command({ getLog: 'global' })],
  ])('may not %s', async (_what, harm) => {
    // 13: Unauthorized. Anything else would be refused for another reason, which may not hold tomorrow.
    await expect(harm(user)).rejects.toMatchObject({ code: 13 });
  });

  test('sees no other database and no list of collections but its own', async () => {
    const { databases } = await user.db('admin').admin().listDatabases({ nameOnly: true });

    expect(databases.map(({ name }) => name)).toEqual([database]);
  });

  test('has a password, or is not made', () => {
    expect(runUserScriptWithoutPassword).toThrow('Set MONGO_PAYMENTS_PASSWORD');
  });
});

describe('a payment-service that is not let in', () => {
  test.each([
    ['without a user', ':', 'payment-service/mongo/user.js'],
    ['with a wrong password', 'payments:wrong', 'look at user, password and authSource in MONGO_URI'],
    ['with a user without rights', 'bare:pbare', 'payment-service/mongo/user.js'],
  ])('%s says what to do, and not the password', async (_what, as, hint) => {
    await admin
      .db(database)
      .command({ createUser: 'bare', pwd: 'pbare', roles: [] })
      .catch(() => undefined);
    const uri = mongod.uriAs(as, database).replace(':@', '');
    const refused = await system.startPayments({ MONGO_URI: uri });

    const line = await eventually(() => refused.lines.find((text) => text.includes('database.away')), {
      within: 20_000,
      until: (found) => found !== undefined,
    });

    expect(line).toContain(hint);
    expect(refused.lines.join('\n')).not.toContain(as.split(':')[1] || 'p4a5');
    await refused.stop();
  });
});

const aggregateInto = (of: mongoose.mongo.MongoClient, name: string) =>
  of
    .db(database)
    .collection('transactions')
    .aggregate([{ $out: name }])
    .toArray();
const capped = (of: mongoose.mongo.MongoClient) =>
  of.db(database).command({ convertToCapped: 'transactions', size: 4_096 });
