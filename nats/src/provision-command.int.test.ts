import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  nanos,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
} from 'nats';
import { definitionFiles } from './definitions.ts';
import { runProvision } from './testing/command.ts';
import { startBroker, type TestBroker, until } from './testing/fixture.ts';
import { startOldServer } from './testing/old-server.ts';

describe('a broker made with the plain recipe', () => {
  let broker: TestBroker;
  beforeAll(async () => {
    broker = await startBroker();
    await makeByRecipe(broker);
  });
  afterAll(() => broker.stop());
  const provisionAs = (args: string[], options = {}) => runProvision(args, { NATS_URI: broker.uri }, options);

  test('is refused with the exact lines that mend it', async () => {
    const { code, out } = await provisionAs(['--check']);

    const edit = (flags: string) =>
      `Mend it: npm run provision -- --apply   (or: nats stream edit payment ${flags} --force)`;
    const anew =
      'Mend it: npm run provision -- --apply   (or: nats consumer rm payment payment-consumer --force && npm run provision)';
    const missing = (resource: string) =>
      `unsafe: ${resource}: is missing, so nothing can be stored or applied. Mend it: npm run provision`;
    expect(code).toBe(1);
    expect(out.trimEnd().split('\n')).toEqual([
      `unsafe: stream payment: discard is old, must be new: a full stream would throw away the oldest messages without a word. ${edit('--discard=new')}`,
      `unsafe: stream payment: max-age is 2 h, must be 168 h or more: the broker deletes what is older, applied or not. ${edit('--max-age=168h')}`,
      `warning: stream payment: max-bytes has no limit: the disk is the limit, and a full disk stops the broker. ${edit('--max-bytes=2147483648')}`,
      `warning: stream payment: max-msg-size has no limit, should be 655360: a larger message finds no room among the dead letters. ${edit('--max-msg-size=655360')}`,
      `warning: stream payment: allow-atomic is off: this server could publish batches atomically. ${edit('--allow-batch')}`,
      missing('stream payment-backlog'),
      missing('stream payment-dead-letters'),
      'warning: stream refused-webhooks: is missing, so refused webhooks are not kept. Mend it: npm run provision',
      `unsafe: consumer payment payment-consumer: max-deliver is 1, must be -1: a message that ran out of deliveries stays in the stream and is handed to nobody. ${anew}`,
      `warning: consumer payment payment-consumer: replay is original, should be instant: a redelivery or a quiet hour would hold back every payment. ${anew}`,
      missing('consumer payment-backlog payment-backlog-consumer'),
      expect.stringMatching(
        /^nats-server 2\.\d+\.\d+.*: NOT SAFE: the services will not run on it \(6 unsafe, 5 warnings\)$/,
      ),
    ]);
  });

  test('is made safe in place, with every message kept and the stuck one handed out again', async () => {
    const { code, out } = await provisionAs(['--apply'], { npm: true });

    expect({ code, out }).toMatchObject({ code: 0 });
    expect(out.split('\n').slice(0, 6)).toEqual([
      'stream payment: changed discard, max-age, max-bytes, max-msg-size, allow-atomic',
      'stream payment-backlog: created',
      'stream payment-dead-letters: created',
      'stream refused-webhooks: created',
      'consumer payment payment-consumer: made anew, for max-deliver, replay',
      'consumer payment-backlog payment-backlog-consumer: created',
    ]);
    const consumer = await broker.admin.jetstream().consumers.get('payment', 'payment-consumer');
    const messages = await consumer.fetch({ max_messages: 2, expires: 2_000 });
    const seen: string[] = [];
    for await (const message of messages) seen.push(`${message.seq} ${message.string()}`);
    expect(seen).toEqual(['1 stuck', '2 waiting']);
    expect((await broker.manager.streams.info('payment')).state.messages).toBe(2);
  });

  test('passes the check afterwards', async () => {
    const { code, out } = await provisionAs(['--check']);

    expect({ code, out }).toMatchObject({
      code: 0,
      out: expect.stringMatching(/: safe \(0 unsafe, 0 warnings\)/),
    });
  });
});

describe('npm run provision', () => {
  test('creates everything on an empty broker and exits 0, twice', async () => {
    const broker = await startBroker();
    try {
      const first = await runProvision([], { NATS_URI: broker.uri });
      const second = await runProvision([], { NATS_URI: broker.uri, DUPLICATE_WINDOW: '20m' });

      expect(first).toMatchObject({ code: 0, err: '' });
      expect(first.out.match(/created/g)).toHaveLength(6);
      expect(second).toMatchObject({ code: 0, err: '' });
      expect(second.out).toMatch(/^warning: stream payment: duplicate-window is 600 s, should be 1200 s/);
    } finally {
      await broker.stop();
    }
  });

  test('makes the consumer that REPLAY_MODE asks for, and changes it only when asked to', async () => {
    const broker = await startBroker();
    const withMode = (mode: string, ...args: string[]) =>
      runProvision(args, { NATS_URI: broker.uri, REPLAY_MODE: mode });
    const policy = async () =>
      (await broker.manager.consumers.info('payment', 'payment-consumer')).config.replay_policy;
    try {
      expect(await withMode('broker')).toMatchObject({ code: 0, err: '' });
      expect(await policy()).toBe('original');

      const found = await withMode('original');
      expect(found.out).toMatch(/^warning: consumer payment payment-consumer: replay is original, should be/);
      expect(await policy()).toBe('original');

      expect(await withMode('instant', '--apply')).toMatchObject({ code: 0 });
      expect(await policy()).toBe('instant');
    } finally {
      await broker.stop();
    }
  });

  test('explains itself', async () => {
    const { code, out } = await runProvision(['--help']);

    expect(code).toBe(0);
    for (const word of ['--check', '--apply', '--definitions', 'NATS_URI', 'Exit code'])
      expect(out).toContain(word);
  });

  test.each([
    [['--aply'], "Unknown option '--aply'"],
    [['now'], "Unexpected argument 'now'"],
    [['--check', '--apply'], 'Only one of --check, --apply and --definitions'],
  ])('refuses %j with help and exit code 2', async (args, line) => {
    const { code, out, err } = await runProvision(args);

    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.split('\n')[0]).toContain(line);
    expect(err).toContain('--definitions <folder>');
  });

  test('names a wrong setting and exits 1', async () => {
    const { code, err } = await runProvision([], {
      STREAM_REPLICAS: '2',
      DUPLICATE_WINDOW: 'soon',
      REPLAY_MODE: 'slow',
    });

    expect(code).toBe(1);
    expect(err).toMatch(/STREAM_REPLICAS: must be 1 or 3/);
    expect(err).toMatch(/DUPLICATE_WINDOW: must be a length of time/);
    expect(err).toMatch(/REPLAY_MODE: /);
  });

  test('wants the user beside the address and not in it, and does not repeat a password', async () => {
    const { code, err } = await runProvision([], { NATS_URI: 'nats://me:secret@127.0.0.1:1' });

    expect(code).toBe(1);
    expect(err).toContain('NATS_URI: must hold no user: use NATS_USER and NATS_PASSWORD');
    expect(err).not.toContain('secret');
  });

  test('says that the broker is away within 7 s', async () => {
    const { code, err, ms } = await runProvision([], { NATS_URI: 'nats://127.0.0.1:1' });

    expect(code).toBe(1);
    expect(err).toMatch(/^The broker at nats:\/\/127\.0\.0\.1:1 cannot be reached: .*set NATS_URI/);
    expect(ms).toBeLessThan(7_000);
  });

  test('refuses an old server', async () => {
    const server = await startOldServer('2.9.10');
    try {
      const { code, out } = await runProvision([], { NATS_URI: server.uri });

      expect(code).toBe(1);
      expect(out).toMatch(
        /^unsafe: nats-server: version 2\.9\.10 is too old: 2\.11\.0 or newer is needed .*Mend it: install nats-server 2\.12 or newer\n/,
      );
    } finally {
      await server.stop();
    }
  });

  test('writes the definitions without a broker', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'paystream-definitions-'));
    try {
      const { code } = await runProvision(['--definitions', join(folder, 'new')], {
        NATS_URI: 'nats://127.0.0.1:1',
      });

      expect(code).toBe(0);
      for (const { name, text } of definitionFiles()) {
        expect(readFileSync(join(folder, 'new', name), 'utf8')).toBe(text);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** Stream and consumer with the flags of the reference recipe; the first message was tried once and is stuck. */
async function makeByRecipe({ admin, manager }: TestBroker): Promise<void> {
  await manager.streams.add({
    name: 'payment',
    subjects: ['payments.*'],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    num_replicas: 1,
    discard: DiscardPolicy.Old,
    duplicate_window: nanos(600_000),
    max_age: nanos(7_200_000),
    max_msgs: -1,
    max_bytes: -1,
    max_msg_size: -1,
    allow_direct: true,
  });
  await manager.consumers.add('payment', {
    durable_name: 'payment-consumer',
    filter_subject: 'payments.*',
    deliver_policy: DeliverPolicy.All,
    replay_policy: ReplayPolicy.Original,
    ack_policy: AckPolicy.Explicit,
    max_deliver: 1,
    max_ack_pending: 20_000,
  });
  const js = admin.jetstream();
  await js.publish('payments.new', 'stuck');
  const consumer = await js.consumers.get('payment', 'payment-consumer');
  const message = await consumer.next({ expires: 5_000 });
  message?.nak();
  // The broker notices at the next pull that it is out of deliveries; that pull gets nothing.
  expect(await consumer.next({ expires: 1_000 })).toBeNull();
  await js.publish('payments.new', 'waiting');
  // Neither pending nor in hand, and nobody will ever get it.
  await until(async () => {
    const { num_pending, num_ack_pending } = await consumer.info();
    return num_pending === 1 && num_ack_pending === 0;
  });
}
