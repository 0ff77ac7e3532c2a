import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  AckPolicy,
  type ConsumerConfig,
  DiscardPolicy,
  nanos,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
} from 'nats';
import { definitionFiles } from './definitions.ts';
import { type Finding, findingLine } from './preflight.ts';
import { isSafe, type ProvisionMode, provision } from './provision.ts';
import { type StreamOptions, streamDefaults, streamDefinitions } from './streams.ts';
import { startBroker, type TestBroker } from './testing/fixture.ts';

let broker: TestBroker;
beforeAll(async () => {
  broker = await startBroker();
});
afterAll(() => broker.stop());
beforeEach(async () => {
  for (const { config } of await broker.manager.streams.list().next()) {
    await broker.manager.streams.delete(config.name);
  }
});

const run = (mode: ProvisionMode, streams?: StreamOptions) => provision(broker.admin, { mode, streams });
const settings = (findings: Finding[]) => findings.map(({ severity, setting }) => `${severity} ${setting}`);
const [payment, backlog, deadLetters] = streamDefinitions();

/** The stream as it must be, but for some settings, made by hand; then what a check says about it. */
async function checkStream(changes: object) {
  await broker.manager.streams.add({ ...payment, ...changes });
  await broker.manager.streams.add({ ...backlog });
  await broker.manager.streams.add({ ...deadLetters });
  const { findings } = await run('check');
  return findings.filter(({ resource }) => resource === 'stream payment');
}

async function checkConsumer(changes: Partial<ConsumerConfig>) {
  await run('create');
  await broker.manager.consumers.delete('payment', 'payment-consumer');
  await broker.manager.consumers.add('payment', {
    durable_name: 'payment-consumer',
    ack_policy: AckPolicy.Explicit,
    ...changes,
  });
  return (await run('check')).findings;
}

describe('the stream of what was refused', () => {
  const check = async () => {
    const report = await run('check');
    const lines = report.findings.map(findingLine);
    return { isSafe: isSafe(report), lines };
  };

  test('is missing in an older installation: that is told, stops nobody, and the next provision makes it', async () => {
    await run('create');
    await broker.manager.streams.delete('refused-webhooks');

    expect(await check()).toEqual({
      isSafe: true,
      lines: [
        'warning: stream refused-webhooks: is missing, so refused webhooks are not kept. Mend it: npm run provision',
      ],
    });
    expect((await run('create')).done).toEqual(['stream refused-webhooks: created']);
    expect(await check()).toEqual({ isSafe: true, lines: [] });
  });

  test('is compared, and what is set otherwise is told and mended, but no reason to stop', async () => {
    await broker.manager.streams.add({
      name: 'refused-webhooks',
      subjects: ['refused.*.*'],
      discard: DiscardPolicy.New,
      max_age: nanos(3_600_000),
      duplicate_window: nanos(600_000),
    });
    await run('create');

    const { isSafe, lines } = await check();
    const { done } = await run('apply');

    expect(isSafe).toBe(true);
    expect(lines).toEqual([
      expect.stringContaining(
        'discard is new, must be old: a full stream would take nothing more. Mend it: npm run',
      ),
      expect.stringContaining('max-age is 1 h, must be 168 h or more'),
      expect.stringContaining('max-bytes has no limit: the disk is the limit'),
      expect.stringContaining('allow-atomic is off'),
    ]);
    expect(lines.every((line) => line.startsWith('warning: stream refused-webhooks: '))).toBe(true);
    expect(done).toEqual(['stream refused-webhooks: changed discard, max-age, max-bytes, allow-atomic']);
    expect(await check()).toEqual({ isSafe: true, lines: [] });
  });
});

describe('an empty broker', () => {
  test('is given the streams and the consumers, once', async () => {
    const first = await run('create');
    const second = await run('create');
    const third = await run('check');

    expect(first.done).toEqual([
      'stream payment: created',
      'stream payment-backlog: created',
      'stream payment-dead-letters: created',
      'stream refused-webhooks: created',
      'consumer payment payment-consumer: created',
      'consumer payment-backlog payment-backlog-consumer: created',
    ]);
    expect(first).toMatchObject({ findings: [], replicas: 1, atomicBatches: true });
    expect([second.done, second.findings, third.done, third.findings]).toEqual([[], [], [], []]);
  });

  test('is not touched by a check, which names what is missing', async () => {
    const report = await run('check');

    const of = (stream: boolean) =>
      report.findings.filter(({ resource }) => resource.includes('refused') === stream);
    const [other, promised] = [of(true), of(false)];
    expect(promised.map(findingLine)).toEqual(
      [
        'stream payment',
        'stream payment-backlog',
        'stream payment-dead-letters',
        'consumer payment payment-consumer',
        'consumer payment-backlog payment-backlog-consumer',
      ].map(
        (resource) =>
          `unsafe: ${resource}: is missing, so nothing can be stored or applied. Mend it: npm run provision`,
      ),
    );
    expect(other.map(findingLine)).toEqual([
      'warning: stream refused-webhooks: is missing, so refused webhooks are not kept. Mend it: npm run provision',
    ]);
    expect(isSafe(report)).toBe(false);
    expect(await broker.manager.streams.list().next()).toEqual([]);
  });

  test('can be provisioned by two services at the same time', async () => {
    const reports = await Promise.all([run('create'), run('create'), run('create')]);

    expect(reports.flatMap(({ findings }) => findings)).toEqual([]);
    expect((await run('check')).findings).toEqual([]);
  });

  test('takes the JSON definitions as the nats CLI sends them, and nothing is left to say', async () => {
    const folder = fileURLToPath(new URL('..', import.meta.url));
    const ask = async (subject: string, body: string) =>
      (await broker.admin.request(`$JS.API.${subject}`, body)).json<{ error?: unknown }>();

    const answers = [];
    for (const { name } of definitionFiles()) {
      const config = readFileSync(`${folder}/${name}`, 'utf8');
      const [stream, consumer] = name.split('.');
      answers.push(
        name.endsWith('.stream.json')
          ? await ask(`STREAM.CREATE.${stream}`, config)
          : await ask(
              `CONSUMER.CREATE.${stream}.${consumer}`,
              `{"stream_name":"${stream}","action":"create","config":${config}}`,
            ),
      );
    }

    expect(answers.map(({ error }) => error)).toEqual(Array.from({ length: 5 }, () => undefined));
    expect(await run('create')).toMatchObject({ done: [], findings: [] });
  });
});

describe('a stream that can lose a payment is found:', () => {
  test.each<[string, object, string]>([
    [
      'memory storage',
      { storage: StorageType.Memory },
      'unsafe: stream payment: storage is memory, must be file: a restart of the broker would forget what is in it. Mend it: ' +
        'stop the gateway, let payment-service apply what is in it (PREFLIGHT=warn), then: nats stream rm payment --force && npm run provision',
    ],
    [
      'another retention',
      { retention: RetentionPolicy.Limits },
      'unsafe: stream payment: retention is limits, must be workqueue: messages would leave it at another time. Mend it: ' +
        'stop the gateway, let payment-service apply what is in it (PREFLIGHT=warn), then: nats stream rm payment --force && npm run provision',
    ],
    [
      'discard old',
      { discard: DiscardPolicy.Old },
      'unsafe: stream payment: discard is old, must be new: a full stream would throw away the oldest messages without a word. ' +
        'Mend it: npm run provision -- --apply   (or: nats stream edit payment --discard=new --force)',
    ],
    [
      'a max age of 2 hours',
      { max_age: nanos(7_200_000) },
      'unsafe: stream payment: max-age is 2 h, must be 168 h or more: the broker deletes what is older, applied or not. ' +
        'Mend it: npm run provision -- --apply   (or: nats stream edit payment --max-age=168h --force)',
    ],
    [
      'one message per subject',
      { max_msgs_per_subject: 1 },
      'unsafe: stream payment: max-msgs-per-subject is 1, must be unlimited: a message would throw away an older one of the same action. ' +
        'Mend it: npm run provision -- --apply   (or: nats stream edit payment --max-msgs-per-subject=-1 --force)',
    ],
    [
      'no acknowledgements',
      { no_ack: true },
      'unsafe: stream payment: no-ack is on, must be off: nobody would be told whether a message was stored. ' +
        'Mend it: npm run provision -- --apply   (or: nats stream edit payment --ack --force)',
    ],
    [
      'the subjects of some actions only',
      { subjects: ['payments.new', 'payments.update'] },
      'unsafe: stream payment: subjects are payments.new, payments.update, must include payments.*: messages would be refused. ' +
        "Mend it: npm run provision -- --apply   (or: nats stream edit payment --subjects='payments.*' --force)",
    ],
    [
      'writing behind',
      { persist_mode: 'async', allow_atomic: false },
      'unsafe: stream payment: persist-mode is async, must be default: the broker acknowledges what is not written yet. Mend it: ' +
        'stop the gateway, let payment-service apply what is in it (PREFLIGHT=warn), then: nats stream rm payment --force && npm run provision',
    ],
  ])('%s', async (_what, changes, line) => {
    const findings = await checkStream(changes);

    expect(findings.map(findingLine)).toContain(line);
    expect(settings(findings).filter((setting) => setting.startsWith('unsafe'))).toHaveLength(1);
  });
});

describe('a stream that costs something is only warned about:', () => {
  test.each<[string, object, string]>([
    ['a short duplicate window', { duplicate_window: nanos(120_000) }, 'duplicate-window'],
    ['no size limit', { max_bytes: -1 }, 'max-bytes'],
    ['a smaller size limit', { max_bytes: 1_048_576 }, 'max-bytes'],
    ['larger messages than a dead letter can hold', { max_msg_size: -1 }, 'max-msg-size'],
    ['no atomic batches', { allow_atomic: false }, 'allow-atomic'],
  ])('%s', async (_what, changes, setting) => {
    expect(settings(await checkStream(changes))).toEqual([`warning ${setting}`]);
  });

  test('nothing is said about more than is needed', async () => {
    const more = {
      max_age: 0,
      max_bytes: 3_000_000_000,
      duplicate_window: nanos(3_600_000),
      subjects: ['payments.>'],
    };

    expect(await checkStream(more)).toEqual([]);
  });
});

describe('a consumer', () => {
  test.each<[string, Partial<ConsumerConfig>, string]>([
    ['with max-deliver', { max_deliver: 1 }, 'unsafe max-deliver'],
    ['with a filter', { filter_subject: 'payments.new' }, 'unsafe filter'],
    ['with headers only', { headers_only: true }, 'unsafe headers-only'],
    ['that pushes', { deliver_subject: 'somewhere' }, 'unsafe target'],
    ['with a short ack wait', { ack_wait: nanos(5_000) }, 'warning wait'],
    [
      'that is deleted when it is not used',
      { inactive_threshold: nanos(3_600_000) },
      'warning inactive-threshold',
    ],
  ])('%s is found', async (_what, changes, finding) => {
    expect(settings(await checkConsumer(changes))).toEqual([finding]);
  });

  test('with a filter that lets every event through is fine', async () => {
    expect(await checkConsumer({ filter_subject: 'payments.*' })).toEqual([]);
  });

  test('that does not wait for acknowledgements, or begins at the end, is found on a stream that allows it', async () => {
    await broker.manager.streams.add({ ...payment, retention: RetentionPolicy.Limits });
    await broker.manager.consumers.add('payment', {
      durable_name: 'payment-consumer',
      ack_policy: AckPolicy.None,
      deliver_policy: 'new' as ConsumerConfig['deliver_policy'],
    });

    const { findings } = await run('check');

    const lines = findings
      .filter(({ resource }) => resource.startsWith('consumer payment '))
      .map(findingLine);
    const mend =
      'Mend it: npm run provision -- --apply   (or: nats consumer rm payment payment-consumer --force && npm run provision)';
    expect(lines).toEqual([
      `unsafe: consumer payment payment-consumer: ack is none, must be explicit: a message would count as applied before it is. ${mend}`,
      `unsafe: consumer payment payment-consumer: deliver is new, must be all: older messages would never be applied. ${mend}`,
    ]);
  });
});

describe('who paces', () => {
  const asked = (replayPolicy: StreamOptions['replayPolicy']) => ({ ...streamDefaults, replayPolicy });
  const policies = async () => {
    const { manager } = broker;
    const live = await manager.consumers.info('payment', 'payment-consumer');
    const aside = await manager.consumers.info('payment-backlog', 'payment-backlog-consumer');
    return [live, aside].map(({ config }) => config.replay_policy);
  };

  test('is we: neither consumer delays anything', async () => {
    await run('create', asked('instant'));

    expect(await policies()).toEqual(['instant', 'instant']);
  });

  test('is the broker where it is asked to: the consumer of live events is made so, and nothing is left to say', async () => {
    const { done } = await run('create', asked('original'));

    expect(done).toContain('consumer payment payment-consumer: created');
    expect(await policies()).toEqual(['original', 'instant']);
    expect((await run('check', asked('original'))).findings).toEqual([]);
  });

  test('stays as it is found, with a warning and the command that changes it', async () => {
    await run('create');
    const report = await run('create', asked('original'));

    expect(await policies()).toEqual(['instant', 'instant']);
    expect(isSafe(report)).toBe(true);
    expect(report.findings.map(findingLine)).toEqual([
      'warning: consumer payment payment-consumer: replay is instant, REPLAY_MODE=broker asks for original: nobody paces a backlog. ' +
        'Mend it: REPLAY_MODE=broker npm run provision -- --apply   (or: nats consumer rm payment payment-consumer --force && REPLAY_MODE=broker npm run provision)',
    ]);

    expect((await run('apply', asked('original'))).done).toEqual([
      'consumer payment payment-consumer: made anew, for replay',
    ]);
    expect(await policies()).toEqual(['original', 'instant']);
    expect((await run('check')).findings.map(findingLine)).toEqual([
      expect.stringMatching(
        /^warning: .*replay is original, should be instant.*Mend it: npm run provision -- --apply/,
      ),
    ]);
  });

  test('is named in the command when the consumer is missing', async () => {
    const { findings } = await run('check', asked('original'));

    const mend = (resource: string) => findings.find((finding) => finding.resource === resource)?.mend;
    expect(mend('consumer payment payment-consumer')).toBe('REPLAY_MODE=broker npm run provision');
    expect(mend('consumer payment-backlog payment-backlog-consumer')).toBe('npm run provision');
  });

  test('is nothing to a service that does not know the mode', async () => {
    await run('create', asked('original'));

    expect((await run('check', asked(undefined))).findings).toEqual([]);
  });

  test('is never the broker for what was set aside: that would be paced twice', async () => {
    await run('create');
    await broker.manager.consumers.delete('payment-backlog', 'payment-backlog-consumer');
    await broker.manager.consumers.add('payment-backlog', {
      durable_name: 'payment-backlog-consumer',
      ack_policy: AckPolicy.Explicit,
      replay_policy: ReplayPolicy.Original,
    });

    for (const mode of ['original', 'instant', undefined] as const) {
      const found = (await run('check', asked(mode))).findings.map(findingLine);
      expect(found).toContainEqual(
        expect.stringMatching(/^warning: consumer payment-backlog .*replay is original, should be instant/),
      );
    }
  });
});

test('what is there is never changed without being asked by name', async () => {
  await checkConsumer({ max_deliver: 1 });
  await broker.manager.streams.update('payment', { discard: DiscardPolicy.Old });

  const report = await run('create');

  expect(report.done).toEqual([]);
  expect(settings(report.findings)).toEqual(['unsafe discard', 'unsafe max-deliver']);
  expect((await broker.manager.streams.info('payment')).config.discard).toBe('old');
  const { config } = await broker.manager.consumers.info('payment', 'payment-consumer');
  expect(config.max_deliver).toBe(1);
});

describe('the backlog', () => {
  const change = async (changes: object) => {
    await run('create');
    await broker.manager.streams.update('payment-backlog', changes);
    return (await run('check')).findings.map(findingLine);
  };

  test('is looked at as the queue is', async () => {
    const lines = await change({ discard: DiscardPolicy.Old, max_age: nanos(7_200_000) });

    expect(lines).toEqual([
      expect.stringMatching(/^unsafe: stream payment-backlog: discard is old, must be new/),
      expect.stringMatching(/^unsafe: stream payment-backlog: max-age is 2 h, must be 168 h or more/),
    ]);
  });

  test('must have room for a message and its added headers', async () => {
    expect(await change({ max_msg_size: 262_144 })).toEqual([
      expect.stringMatching(/^warning: stream payment-backlog: max-msg-size is 262144, should be 1048576/),
    ]);
    await run('apply');
    expect((await run('check')).findings).toEqual([]);
  });

  test('whose consumer passes over some of it is unsafe', async () => {
    await run('create');
    await broker.manager.consumers.delete('payment-backlog', 'payment-backlog-consumer');
    await broker.manager.consumers.add('payment-backlog', {
      durable_name: 'payment-backlog-consumer',
      ack_policy: AckPolicy.Explicit,
      filter_subject: 'backlog.payments.new',
    });

    expect((await run('check')).findings.map(findingLine)).toEqual([
      expect.stringMatching(/filter is backlog\.payments\.new, must be backlog\.payments\.\* or none/),
    ]);
  });
});

describe('applying', () => {
  test('changes what differs and keeps what is larger', async () => {
    await broker.manager.streams.add({
      ...payment,
      discard: DiscardPolicy.Old,
      max_age: 0,
      max_bytes: 3_000_000_000,
      duplicate_window: nanos(60_000),
      subjects: ['orders.*', 'payments.new'],
    });

    const report = await run('apply');

    expect(report.done[0]).toBe('stream payment: changed discard, subjects, duplicate-window');
    expect(report.findings).toEqual([]);
    expect((await broker.manager.streams.info('payment')).config).toMatchObject({
      discard: 'new',
      max_age: 0,
      max_bytes: 3_000_000_000,
      duplicate_window: nanos(600_000),
      subjects: ['payments.*', 'orders.*'],
    });
    expect((await run('check')).findings).toEqual([]);
  });

  test('never deletes a stream: what cannot be changed stays as it is, and is said', async () => {
    await broker.manager.streams.add({ ...payment, storage: StorageType.Memory, discard: DiscardPolicy.Old });
    await broker.admin.jetstream().publish('payments.new', 'kept');

    const report = await run('apply');

    expect(settings(report.findings)).toEqual(['unsafe storage', 'unsafe discard']);
    expect(report.findings[0]?.mend).toContain('nats stream rm payment --force && npm run provision');
    expect((await broker.manager.streams.info('payment')).state.messages).toBe(1);
  });
});

describe('what the broker refuses to create', () => {
  const existence = async (streams: Partial<StreamOptions> = {}) => {
    const report = await run('create', { ...streamDefaults, ...streams });
    return report.findings.map(findingLine);
  };

  test('for want of room is said with the setting that asks for less', async () => {
    const [line] = await existence({ maxBytes: 1_099_511_627_776_000 });

    expect(line).toMatch(
      /^unsafe: stream payment: cannot be created, .*insufficient storage resources available/,
    );
    expect(line).toContain('set STREAM_MAX_BYTES lower');
  });

  test('because another stream has the subjects is said', async () => {
    await broker.manager.streams.add({ name: 'OTHER', subjects: ['payments.>'] });

    const [line] = await existence();

    expect(line).toMatch(/cannot be created, .*overlap.*nats stream ls --subject 'payments\.\*'/);
  });

  test('because it needs a cluster is said', async () => {
    expect((await existence({ replicas: 3 }))[0]).toMatch(/cannot be created, .*STREAM_REPLICAS=1/);
  });

  test('because the duplicate window is longer than the age is said', async () => {
    expect((await existence({ duplicateWindowMs: 8 * 86_400_000 }))[0]).toMatch(/DUPLICATE_WINDOW/);
  });

  test('because another consumer reads the work queue is said', async () => {
    await broker.manager.streams.add({ ...payment });
    await broker.manager.consumers.add('payment', { durable_name: 'other', ack_policy: AckPolicy.Explicit });

    expect((await existence())[0]).toMatch(
      /^unsafe: consumer .*cannot be created, .*nats consumer ls payment/,
    );
  });
});
