import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort, resolveServer } from '@paystream/local';
import { connect, headers, type NatsConnection } from 'nats';
import { type BrokerConnection, connectBroker } from './connection.ts';
import { createDeadLetters } from './dead-letters.ts';
import { readBacklog, readPaymentPosition } from './positions.ts';
import { findingLine } from './preflight.ts';
import { isSafe, provision } from './provision.ts';
import { createPublisher } from './publisher.ts';
import { createRefusedWebhooks } from './refused-webhooks.ts';
import { createSetAside } from './set-aside.ts';
import { type WorkQueueName, workQueues } from './streams.ts';
import { createSubscription } from './subscription.ts';
import { runProvision } from './testing/command.ts';
import { eventOf, log, refusedOf, takeOne, until, up } from './testing/fixture.ts';
import { requestTranslation, serveTranslations } from './translation.ts';

const shipped = fileURLToPath(new URL('../nats-server.conf', import.meta.url));
const passwords = {
  NATS_GATEWAY_PASSWORD: 'p4a1f00e5',
  NATS_PAYMENTS_PASSWORD: 'p0b2',
  NATS_PROVISION_PASSWORD: 'p9c3',
  NATS_OPERATOR_PASSWORD: 'pd4',
};
const folder = mkdtempSync(join(tmpdir(), 'paystream-conf-'));
const joined: { close(): Promise<void> }[] = [];
let server: ChildProcess;
let uri: string;

/** The shipped file, word for word but for the folder, which no test may write to. */
function startShipped(
  env: Record<string, string>,
  ports: { client: number; monitor: number },
  { name = 'nats-server', edit = (text: string) => text } = {},
) {
  const file = join(folder, `${name}.conf`);
  const data = JSON.stringify(join(folder, `${name}-data`));
  writeFileSync(file, edit(readFileSync(shipped, 'utf8')).replace('"/data"', data));
  const addresses = ['-a', '127.0.0.1', '-p', String(ports.client), '-m', String(ports.monitor)];
  return spawn(resolveServer('nats-server'), ['-c', file, ...addresses], { env, stdio: 'pipe' });
}

let monitor: number;
beforeAll(async () => {
  const client = await freePort();
  monitor = await freePort();
  server = startShipped(passwords, { client, monitor });
  uri = `nats://127.0.0.1:${client}`;
  await until(() =>
    fetch(`http://127.0.0.1:${monitor}/healthz`)
      .then(({ ok }) => ok)
      .catch(() => false),
  );
});
afterAll(async () => {
  await Promise.all(joined.map((connection) => connection.close()));
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.kill();
  await exited;
  rmSync(folder, { recursive: true, force: true });
});

function as(user: string, name: string, at = uri): BrokerConnection {
  const password = passwords[`NATS_${user.toUpperCase()}_PASSWORD` as keyof typeof passwords];
  const connection = connectBroker({ uri: at, name, user, password, log });
  joined.push(connection);
  return connection;
}

async function operator(): Promise<NatsConnection> {
  const connection = await connect({
    servers: uri,
    user: 'operator',
    pass: passwords.NATS_OPERATOR_PASSWORD,
  });
  joined.push(connection);
  return connection;
}

const stateOf = async (stream: string) =>
  (await (await operator()).jetstreamManager()).streams.info(stream).then(({ state }) => state.messages);
const refused = (work: Promise<unknown>) => expect(work).rejects.toThrow(/permissions violation/i);

/** With plain publishes the broker's refusal comes as a status of the connection. */
async function isRefusedToPublish(connection: NatsConnection, subject: string): Promise<boolean> {
  const statuses = connection.status();
  connection.publish(subject, '{}');
  await connection.flush();
  for await (const { permissionContext } of statuses) {
    if (permissionContext?.subject === subject) return true;
  }
  return false;
}

/** Gathers what the broker refuses to this connection from now on, until it is called. */
function watchRefusals(connection: NatsConnection): () => Promise<string[]> {
  const statuses = connection.status();
  return async () => {
    const refusedToAll = 'orders.new';
    connection.publish(refusedToAll);
    const seen: string[] = [];
    for await (const { permissionContext } of statuses) {
      if (permissionContext?.subject === refusedToAll) break;
      if (permissionContext !== undefined) seen.push(permissionContext.subject);
    }
    return seen;
  };
}

test('nothing is allowed without a user, or with a wrong password', async () => {
  await expect(connect({ servers: uri })).rejects.toThrow(/authorization violation/i);
  await expect(connect({ servers: uri, user: 'gateway', pass: 'wrong' })).rejects.toThrow(/authorization/i);
});

test('the server does not start without the passwords', async () => {
  const { NATS_OPERATOR_PASSWORD: _left, ...rest } = passwords;
  const child = startShipped(rest, { client: await freePort(), monitor: await freePort() });
  let said = '';
  child.stderr?.on('data', (piece) => {
    said += piece;
  });

  const code = await new Promise((resolve) => child.once('close', resolve));

  expect(code).not.toBe(0);
  expect(said).toContain('NATS_OPERATOR_PASSWORD');
});

test('every acknowledgement is on disk, and the monitoring page says so', async () => {
  const jsz = await (await fetch(`http://127.0.0.1:${monitor}/jsz?config=true`)).json();

  expect(jsz).toMatchObject({ config: { sync_always: true, max_storage: 10 * 1_024 ** 3 } });
});

test('the user provision makes everything with npm run provision', async () => {
  const env = { NATS_URI: uri, NATS_USER: 'provision', NATS_PASSWORD: passwords.NATS_PROVISION_PASSWORD };

  const first = await runProvision([], env);
  const short = await runProvision([], { ...env, DUPLICATE_WINDOW: '20m' });
  const mended = await runProvision(['--apply'], { ...env, DUPLICATE_WINDOW: '20m' });

  expect(first).toMatchObject({ code: 0, err: '' });
  expect(short.out).toContain('duplicate-window is 600 s');
  expect(mended.out).toContain('stream payment: changed duplicate-window');
});

describe('the user gateway', () => {
  test('publishes events, hears the word of the broker, and compares the settings', async () => {
    const broker = as('gateway', 'third-party-gateway');
    const connection = await up(broker);

    const outcome = await createPublisher({ broker }).publish(eventOf());
    const report = await provision(connection, { mode: 'check' });

    expect(outcome).toMatchObject({ status: 'stored', sequence: 1 });
    expect([isSafe(report), report.findings]).toEqual([true, []]);
  });

  test('keeps what it refuses, reads it and takes it out', async () => {
    const broker = as('gateway', 'third-party-gateway');
    const refusals = watchRefusals(await up(broker));
    const refused = createRefusedWebhooks({ broker });

    await refused.keep(refusedOf());
    const { webhooks } = await refused.find({ filter: { from: new Date(0) }, after: 0, limit: 10 });
    await refused.remove(webhooks[0]?.sequence ?? 0);

    expect(webhooks).toMatchObject([refusedOf()]);
    expect(await refused.get(webhooks[0]?.sequence ?? 0)).toBeUndefined();
    expect(await refusals()).toEqual([]);
  });

  test('cannot read events, change the broker or publish elsewhere', async () => {
    const connection = await up(as('gateway', 'third-party-gateway'));
    const manager = await connection.jetstreamManager({ checkAPI: false });

    for (const subject of [
      'dead-letters.payments.new',
      'orders.new',
      '$JS.API.CONSUMER.MSG.NEXT.payment.payment-consumer',
      '$JS.API.CONSUMER.CREATE.payment.mine',
      '$JS.ACK.payment.payment-consumer.1.1.1.1.0',
      'backlog.payments.new',
      '$JS.API.STREAM.MSG.GET.payment-backlog',
      '$JS.API.STREAM.MSG.GET.payment-dead-letters',
      '$JS.API.STREAM.MSG.DELETE.payment-dead-letters',
      '$JS.ACK.payment-backlog.payment-backlog-consumer.1.1.1.1.0',
      '$JS.API.CONSUMER.CREATE.refused-webhooks.mine',
      '$JS.API.STREAM.UPDATE.refused-webhooks',
      // In the place of somebody else: another's message acknowledged, an answer made up, a translation asked for.
      '$JS.ACK._.hash.payment.payment-consumer.1.1.1.1.0.token',
      '_INBOX_payment-service.answer',
      'webhooks.translate',
      // Every other way to read: consumers of any name and of none, direct get, a copy of the stream under another name.
      '$JS.API.CONSUMER.CREATE.payment',
      '$JS.API.CONSUMER.CREATE.payment.payment-consumer.payments.new',
      '$JS.API.CONSUMER.DURABLE.CREATE.payment.mine',
      '$JS.API.CONSUMER.MSG.NEXT.payment-backlog.payment-backlog-consumer',
      '$JS.API.STREAM.MSG.GET.payment',
      '$JS.API.DIRECT.GET.payment',
      '$JS.API.DIRECT.GET.payment.payments.new',
      '$JS.API.STREAM.CREATE.copy',
      '$JS.API.STREAM.SNAPSHOT.payment',
      '$JS.API.STREAM.RESTORE.payment',
      // Every other way to do harm.
      '$JS.API.STREAM.UPDATE.payment',
      '$JS.API.STREAM.MSG.DELETE.payment',
      '$JS.API.STREAM.PURGE.payment-backlog',
      '$JS.API.STREAM.DELETE.payment-dead-letters',
      '$JS.API.CONSUMER.DELETE.payment.payment-consumer',
      '$JS.API.CONSUMER.PAUSE.payment.payment-consumer',
      '$JS.API.CONSUMER.RESET.payment.payment-consumer',
      '$JS.API.CONSUMER.UNPIN.payment.payment-consumer',
      '$JS.API.CONSUMER.LEADER.STEPDOWN.payment.payment-consumer',
      '$JS.API.STREAM.LEADER.STEPDOWN.payment',
      '$JS.API.STREAM.PEER.REMOVE.payment',
      '$JS.API.ACCOUNT.PURGE.$G',
      '$JS.API.META.LEADER.STEPDOWN',
      '$SYS.REQ.SERVER.PING',
      '$SYS.REQ.ACCOUNT.PING.CONNZ',
    ]) {
      expect([subject, await isRefusedToPublish(connection, subject)]).toEqual([subject, true]);
    }
    await refused(manager.streams.getMessage('payment', { seq: 1 }));
    await refused(manager.streams.purge('payment'));
    await refused(manager.streams.delete('payment'));
    await refused(manager.streams.purge('refused-webhooks'));
    await refused(manager.streams.delete('refused-webhooks'));
    await refused(provision(connection, { mode: 'apply', streams: longerWindow }));
    const heard = connection.subscribe('payments.*');
    await connection.flush();
    await expect(readAll(heard)).rejects.toThrow(/permissions violation/i);
  });

  test.each([
    '_INBOX_payment-service.>',
    '_INBOX.>',
    'payments.>',
    'backlog.payments.*',
    'dead-letters.payments.*',
    '$JS.API.>',
    '$JS.ACK.>',
    '$JS.EVENT.>',
    '>',
  ])('cannot hear %s', async (subject) => {
    const connection = await up(as('gateway', 'third-party-gateway'));
    const heard = connection.subscribe(subject);
    await connection.flush();

    await expect(readAll(heard)).rejects.toThrow(/permissions violation/i);
  });

  test('cannot have the broker do by its own word what it may not do itself', async () => {
    const connection = await up(as('gateway', 'third-party-gateway'));
    const before = await stateOf('payment');
    // The broker's word goes to the reply subject, whatever that is; the request of a purge may have a sequence in it too.
    const asReplies = [
      '$JS.API.STREAM.PURGE.payment',
      '$JS.API.STREAM.MSG.DELETE.payment',
      '$JS.API.STREAM.DELETE.payment',
      '$JS.API.CONSUMER.DELETE.payment.payment-consumer',
      '$JS.API.CONSUMER.CREATE.payment.mine',
    ];
    for (const reply of asReplies) connection.publish('payments.draft', '{}', { reply });
    // A message of this kind takes the place of all before it, where the stream allows that.
    const rollup = headers();
    rollup.set('Nats-Rollup', 'all');
    const answer = await connection.request('payments.draft', '{}', { headers: rollup, timeout: 5_000 });

    expect(answer.json()).toMatchObject({ error: { description: expect.stringContaining('rollup') } });
    expect(await stateOf('payment')).toBe(before + asReplies.length);
    const manager = await (await operator()).jetstreamManager();
    expect((await manager.consumers.list('payment').next()).map(({ name }) => name)).toEqual([
      'payment-consumer',
    ]);
    await manager.streams.purge('payment', { filter: 'payments.draft' });
  });
});

describe('the user payments', () => {
  test('pulls, acknowledges, gives back, writes dead letters, and compares the settings', async () => {
    await createPublisher({ broker: await joinedGateway() }).publish(eventOf());
    const broker = as('payments', 'payment-service');
    const subscription = createSubscription({ broker, log });
    void subscription.run();

    const taken = await until(async () => {
      const deliveries = await subscription.take(1);
      return deliveries[0];
    });
    expect(await subscription.settle(taken, { kind: 'ack' })).toBe('acked');
    const [second] = await subscription.take(1);
    if (second === undefined) throw new Error('there was no second message');
    expect(await subscription.settle(second, { kind: 'release' })).toBe('retry-later');
    const [again] = await subscription.take(1);
    if (again === undefined) throw new Error('it did not come again');
    const letter = { kind: 'dead-letter', reason: 'not-json', detail: 'a test' } as const;
    expect(await subscription.settle(again, letter)).toBe('dead-lettered');
    await until(async () => (await stateOf('payment')) === 0);
    expect(await stateOf('payment-dead-letters')).toBe(1);
    await subscription.stop();
    const report = await provision(await up(broker), { mode: 'check' });
    expect([isSafe(report), report.findings]).toEqual([true, []]);
  });

  test('sets a backlog aside, pulls it from there, says that it works on it, and tells how much is left', async () => {
    await createPublisher({ broker: await joinedGateway() }).publish(eventOf());
    const broker = as('payments', 'payment-service');
    const refusals = watchRefusals(await up(broker));
    const pullingFrom = (from: WorkQueueName) => {
      const subscription = createSubscription({ broker, log, from });
      void subscription.run();
      return subscription;
    };
    const live = pullingFrom('payment');
    const aside = pullingFrom('backlog');
    const taken = await takeOne(live);

    expect(await createSetAside({ broker }).setAside([taken])).toEqual([{ kind: 'aside' }]);
    expect(await live.settle(taken, { kind: 'ack' })).toBe('acked');
    expect(await readPaymentPosition(broker)).toMatchObject({ lastSequence: taken.sequence });
    expect(await readBacklog(broker)).toMatchObject({ messages: 1, oldestStoredAt: taken.storedAt });

    const again = await takeOne(aside);
    expect(again).toMatchObject({ subject: taken.subject, sequence: taken.sequence });
    expect(aside.stillWorking(again)).toBe(true);
    expect(await aside.settle(again, { kind: 'release' })).toBe('retry-later');
    expect(await aside.settle(await takeOne(aside), { kind: 'ack' })).toBe('acked');
    await until(async () => (await stateOf('payment-backlog')) === 0);
    await Promise.all([live.stop(), aside.stop()]);
    expect(await refusals()).toEqual([]);
  });

  test('may acknowledge in either form, and only through our consumers', async () => {
    const connection = await up(as('payments', 'payment-service'));
    const refusals = watchRefusals(connection);
    const place = '1.1.1.1.0';

    for (const { stream, consumer } of Object.values(workQueues)) {
      connection.publish(`$JS.ACK.${stream}.${consumer}.${place}`);
      connection.publish(`$JS.ACK.domain.account.${stream}.${consumer}.${place}`);
      connection.publish(`$JS.ACK.domain.account.${stream}.other.${place}`);
    }

    expect(await refusals()).toEqual([
      `$JS.ACK.domain.account.payment.other.${place}`,
      `$JS.ACK.domain.account.payment-backlog.other.${place}`,
    ]);
  });

  test('reads dead letters and takes one out', async () => {
    const admin = await operator();
    const { seq } = await admin.jetstream().publish('payments.new', 'nonsense');
    const broker = as('payments', 'payment-service');
    const refusals = watchRefusals(await up(broker));
    const subscription = createSubscription({ broker, log });
    void subscription.run();
    const letter = { kind: 'dead-letter', reason: 'not-json', detail: 'to be removed' } as const;
    expect(await subscription.settle(await takeOne(subscription), letter)).toBe('dead-lettered');
    await subscription.stop();

    const letters = createDeadLetters({ broker });
    const query = { filter: { from: new Date(0) }, after: 0, limit: 10, lookAtMax: 10 };
    const found = (await letters.find(query)).letters.find(({ message }) => message.sequence === seq);
    if (found === undefined) throw new Error('it is not there');
    expect(await letters.get(found.sequence)).toMatchObject({ detail: 'to be removed' });
    await letters.remove(found.sequence);

    expect(await letters.get(found.sequence)).toBeUndefined();
    expect(await refusals()).toEqual([]);
  });

  test('cannot make up events, change the broker or empty the dead letters', async () => {
    const connection = await up(as('payments', 'payment-service'));
    const manager = await connection.jetstreamManager({ checkAPI: false });

    for (const subject of [
      'payments.new',
      'orders.new',
      '$JS.API.CONSUMER.CREATE.payment.mine',
      '$JS.API.CONSUMER.CREATE.payment-backlog.mine',
      'refused.stripe.signature-wrong',
      '$JS.API.STREAM.MSG.GET.refused-webhooks',
      '$JS.API.DIRECT.GET.payment-dead-letters',
      '$JS.API.STREAM.CREATE.copy',
      '$JS.API.STREAM.UPDATE.payment',
      '$JS.API.CONSUMER.PAUSE.payment.payment-consumer',
      '_INBOX_third-party-gateway.answer',
    ]) {
      expect([subject, await isRefusedToPublish(connection, subject)]).toEqual([subject, true]);
    }
    await refused(manager.streams.getMessage('payment', { seq: 1 }));
    await refused(manager.streams.deleteMessage('payment', 1));
    await refused(manager.streams.deleteMessage('payment-backlog', 1));
    await refused(manager.streams.purge('payment-dead-letters'));
    await refused(manager.streams.delete('payment-dead-letters'));
    await refused(manager.streams.delete('payment'));
    await refused(manager.streams.purge('payment-backlog'));
    await refused(manager.consumers.delete('payment', 'payment-consumer'));
  });
});

test('the user payments asks a gateway for a translation, and the user gateway answers', async () => {
  const webhook = {
    id: '0123456789abcdef0123456789abcdef',
    source: 'stripe',
    receivedAt: '2026-01-02T03:04:05.678Z',
    body: '{}',
  };
  const done = { kind: 'published' as const, messages: 1, duplicates: 0, unmapped: [] };
  serveTranslations({ broker: await joinedGateway(), translate: async () => done, log });
  const payments = as('payments', 'payment-service');
  await up(payments);

  const answered = await until(async () => {
    const translated = await requestTranslation(payments, webhook);
    return translated.kind === 'published' ? translated : undefined;
  });

  expect(answered).toEqual(done);
});

test('the user operator may do what the README shows with the nats CLI, and nothing to the account or the server', async () => {
  const connection = await operator();
  const manager = await connection.jetstreamManager();

  for (const name of ['payment', 'payment-backlog', 'payment-dead-letters']) {
    expect((await manager.streams.info(name)).config.name).toBe(name);
  }
  expect((await manager.consumers.info('payment', 'payment-consumer')).name).toBe('payment-consumer');
  for (const subject of [
    '$JS.API.ACCOUNT.PURGE.$G',
    '$JS.API.META.LEADER.STEPDOWN',
    '$JS.API.SERVER.REMOVE',
    'backlog.payments.new',
  ]) {
    expect([subject, await isRefusedToPublish(connection, subject)]).toEqual([subject, true]);
  }
});

test('the user operator looks at the streams, publishes by hand and removes what is settled', async () => {
  const connection = await operator();
  const manager = await connection.jetstreamManager();

  await connection.jetstream().publish('payments.new', 'by hand');
  const [letter] = await Promise.all([manager.streams.getMessage('payment-dead-letters', { seq: 1 })]);
  await manager.streams.deleteMessage('payment-dead-letters', letter.seq);

  expect(letter.header.get('Paystream-Reason')).toBe('not-json');
  expect(await stateOf('payment-dead-letters')).toBe(0);
});

test('a configuration from before refused webhooks were kept keeps nobody from starting', async () => {
  const ports = { client: await freePort(), monitor: await freePort() };
  const withoutRefused = (text: string) =>
    text
      .split('\n')
      .filter((line) => !/refused/i.test(line) || line.includes('subscribe'))
      .join('\n');
  const child = startShipped(passwords, ports, { name: 'older', edit: withoutRefused });
  const joinedAs = (user: string, name: string) => up(as(user, name, `nats://127.0.0.1:${ports.client}`));

  const made = await provision(await joinedAs('provision', 'provision'), { mode: 'create' });
  const checked = await provision(await joinedAs('gateway', 'third-party-gateway'), { mode: 'check' });

  expect(made.done).toHaveLength(5);
  for (const report of [made, checked]) {
    expect(isSafe(report)).toBe(true);
    expect(report.findings.map(findingLine)).toEqual([
      'warning: stream refused-webhooks: permission to look at it is missing, so refused webhooks are not kept. ' +
        'Mend it: replace the configuration of the broker by nats/nats-server.conf, then: npm run provision',
    ]);
  }
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  await exited;
});

// Longer than what the stream has, so that there is something to change.
const longerWindow = { duplicateWindowMs: 3_600_000, replicas: 1, maxBytes: 2_147_483_648 };

async function joinedGateway(): Promise<BrokerConnection> {
  const broker = as('gateway', 'third-party-gateway');
  await up(broker);
  return broker;
}

async function readAll(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _message of messages) throw new Error('a message was heard');
}
