import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { RetentionPolicy } from 'nats';
import { definitionFiles } from './definitions.ts';
import { mendedStream } from './mend.ts';
import { actions, subjectOf } from './messages.ts';
import { encodeRefused } from './refused-webhook.ts';
import {
  consumerDefinitions,
  deadLetterSubject,
  outageBudgetMs,
  streamDefaults,
  streamDefinitions,
} from './streams.ts';
import { covers } from './subjects.ts';
import { refusedOf } from './testing/fixture.ts';
import { webhookBytesMax } from './webhooks.ts';

const folder = fileURLToPath(new URL('..', import.meta.url));

describe('the JSON definitions', () => {
  test('are what streams.ts says; to write them anew: npm run provision -- --definitions nats', () => {
    const written = definitionFiles().map(({ name }) => ({
      name,
      text: readFileSync(join(folder, name), 'utf8'),
    }));

    expect(written).toEqual(definitionFiles());
  });

  test('are all of them', () => {
    const found = readdirSync(folder).filter((name) => /\.(stream|consumer)\.json$/.test(name));

    expect(found.sort()).toEqual(
      definitionFiles()
        .map(({ name }) => name)
        .sort(),
    );
  });
});

describe('the streams', () => {
  const streams = streamDefinitions();

  test('never keep a message in memory only, and throw none away to make room but what was refused', () => {
    for (const stream of streams) {
      const discard = stream.name === 'refused-webhooks' ? 'old' : 'new';
      expect(stream).toMatchObject({ discard, storage: 'file' });
    }
  });

  test('keep what was refused for seven days and in little room, with the largest webhook in it', () => {
    const refused = streams.find(({ name }) => name === 'refused-webhooks');
    const largest = refusedOf({
      body: Buffer.alloc(webhookBytesMax),
      // As much as Node takes of headers, and the worst of it.
      headers: { 'x-signature': '"'.repeat(16_384) },
      detail: '"'.repeat(1_000),
    });

    expect(refused).toMatchObject({ retention: 'limits', max_age: 7 * 86_400_000 * 1e6 });
    expect(refused?.max_bytes).toBe(streamDefaults.maxBytes / 8);
    expect(refused?.max_msg_size).toBeGreaterThan(encodeRefused(largest).length + 1_000);
  });

  test('take the subject of every action, each on one stream only', () => {
    for (const action of actions) {
      const takers = streams.filter(({ subjects }) =>
        subjects.some((pattern) => covers(pattern, subjectOf(action))),
      );
      expect(takers.map(({ name }) => name)).toEqual(['payment']);
    }
  });

  test('have two work queues that keep a message for seven days', () => {
    const queues = streams.filter(({ retention }) => retention === RetentionPolicy.Workqueue);

    expect(queues.map(({ name, max_age }) => [name, max_age])).toEqual([
      ['payment', outageBudgetMs * 1e6],
      ['payment-backlog', outageBudgetMs * 1e6],
    ]);
    expect(outageBudgetMs).toBe(7 * 86_400_000);
  });

  test('have room in the backlog and among the dead letters for any message of the queue and what is added', () => {
    const [queue, backlog, deadLetters] = streams;

    for (const { max_msg_size = 0 } of [backlog ?? {}, deadLetters ?? {}])
      expect(max_msg_size).toBeGreaterThan((queue?.max_msg_size ?? 0) + 16_384);
  });

  test('follow the settings', () => {
    const [queue, backlog, deadLetters, refused] = streamDefinitions({
      duplicateWindowMs: 1_000,
      replicas: 3,
      maxBytes: 100,
    });

    expect(queue).toMatchObject({ duplicate_window: 1e9, num_replicas: 3, max_bytes: 100 });
    expect(backlog).toMatchObject({ duplicate_window: 1e9, num_replicas: 3, max_bytes: 100 });
    expect(deadLetters).toMatchObject({ duplicate_window: 1e9, num_replicas: 3, max_bytes: 50 });
    expect(refused).toMatchObject({ duplicate_window: 1e9, num_replicas: 3, max_bytes: 12 });
  });
});

describe('the consumers', () => {
  test('hand a message out until it is settled, one for each work queue, paced by nobody but us', () => {
    const sound = {
      max_deliver: -1,
      ack_policy: 'explicit',
      deliver_policy: 'all',
      replay_policy: 'instant',
    };

    expect(consumerDefinitions()).toEqual([
      expect.objectContaining({ ...sound, stream: 'payment', durable_name: 'payment-consumer' }),
      expect.objectContaining({
        ...sound,
        stream: 'payment-backlog',
        durable_name: 'payment-backlog-consumer',
      }),
    ]);
  });

  test('leave the pacing to JetStream where it is asked to, and only that of live events', () => {
    const asked = consumerDefinitions({ ...streamDefaults, replayPolicy: 'original' });

    expect(asked.map(({ replay_policy }) => replay_policy)).toEqual(['original', 'instant']);
    expect(asked[0]?.description).toContain('REPLAY_MODE=broker');
  });
});

test('a dead letter goes to a subject that is not made from input', () => {
  const known = new Set(actions.map(subjectOf));

  expect(deadLetterSubject('payments.new', known)).toBe('dead-letters.payments.new');
  expect(deadLetterSubject('payments.any thing', known)).toBe('dead-letters.payments.unknown');
});

test.each([
  ['payments.*', 'payments.*', true],
  ['payments.>', 'payments.*', true],
  ['>', 'payments.*', true],
  ['*.*', 'payments.*', true],
  ['*', 'payments.*', false],
  ['payments.new', 'payments.*', false],
  ['payments.*', 'payments.>', false],
  ['payments.*.*', 'payments.*', false],
  ['payments.*', 'payments.new', true],
  ['payments.>', 'payments', false],
  ['orders.*', 'payments.*', false],
])('the subject %s covers %s: %s', (pattern, subject, expected) => {
  expect(covers(pattern, subject)).toBe(expected);
});

describe('mending a stream', () => {
  const [wanted] = streamDefinitions(streamDefaults);
  const found = (changes: object) =>
    ({ ...wanted, max_msgs_per_subject: -1, ...changes }) as Parameters<typeof mendedStream>[1];

  test('keeps what the operator has made larger', () => {
    const larger = { max_age: 0, max_bytes: 1e12, num_replicas: 3, duplicate_window: 3_600e9, max_msgs: 7 };

    expect(mendedStream(wanted ?? {}, found(larger))).toMatchObject(larger);
  });

  test('keeps subjects of others, and a wider pattern of ours', () => {
    const subjectsOf = (...subjects: string[]) => mendedStream(wanted ?? {}, found({ subjects })).subjects;

    expect(subjectsOf('payments.>')).toEqual(['payments.>']);
    expect(subjectsOf('orders.*', 'payments.new')).toEqual(['payments.*', 'orders.*']);
  });
});
