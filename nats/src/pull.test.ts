import { expect, test } from '@jest/globals';
import { headers, type Msg, type NatsConnection } from 'nats';
import { openPull } from './pull.ts';
import { workQueues } from './streams.ts';

/** A broker of which the test says what it sends, and in which order: one with replicas has an order of its own. */
function startPull(batch: number) {
  const got: string[] = [];
  let inbox = '';
  let callback: (error: Error | null, message: Msg) => void = () => undefined;
  let isClosed = false;
  const connection = {
    subscribe: (subject: string, options: { callback: typeof callback }) => {
      inbox = subject;
      callback = options.callback;
      return {
        drain: async () => {
          isClosed = true;
        },
        isClosed: () => isClosed,
        unsubscribe: () => undefined,
      };
    },
    publish: () => undefined,
    flush: async () => undefined,
  };
  const pull = openPull({
    // Of the client only what a pull uses.
    connection: connection as unknown as NatsConnection,
    inboxPrefix: '_INBOX',
    queue: workQueues.payment,
    batch,
    expiresMs: 50,
    bytesMax: 1_000,
    onMessage: ({ subject }) => got.push(subject),
  });
  const arrive = (message: object) => callback(null, message as Msg);
  return {
    ended: pull.ended,
    got,
    hasEnded: () => isClosed,
    message: (name: string) => arrive({ subject: name }),
    word: (code: number, description: string, pending?: number) => {
      const said = headers(code, description);
      if (pending !== undefined) said.set('Nats-Pending-Messages', String(pending));
      arrive({ subject: inbox, headers: said });
    },
  };
}

test.each([
  ['Batch Completed', 3, 0, ['a', 'b', 'c']],
  ['Message Size Exceeds MaxBytes', 3, 1, ['a', 'b']],
  ['Message Size Exceeds MaxBytes', 500, 498, ['a', 'b']],
])(
  'a pull of which the broker says %s waits for what was sent before',
  async (description, batch, pending, sent) => {
    const pull = startPull(batch);
    pull.message('a');

    pull.word(409, description, pending);
    const endedAtOnce = pull.hasEnded();
    for (const name of sent.slice(1)) pull.message(name);

    expect(endedAtOnce).toBe(false);
    expect(await pull.ended).toEqual({ kind: 'over' });
    expect(pull.got).toEqual(sent);
  },
);

test('a pull that is over without a message ends at once', async () => {
  const pull = startPull(3);

  pull.word(408, 'Request Timeout', 3);

  expect(pull.hasEnded()).toBe(true);
  expect(await pull.ended).toEqual({ kind: 'over' });
});

test('a message that was counted and is lost is not waited for without an end', async () => {
  const pull = startPull(2);

  pull.word(409, 'Batch Completed', 0);
  pull.message('a');

  expect(await pull.ended).toEqual({ kind: 'over' });
  expect(pull.got).toEqual(['a']);
});

test('a failure ends it with what came before', async () => {
  const pull = startPull(3);
  pull.message('a');

  pull.word(409, 'Consumer Deleted');

  expect(await pull.ended).toEqual({ kind: 'failed', detail: '409 consumer deleted' });
});
