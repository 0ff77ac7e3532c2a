import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import type { BrokerConnection } from './connection.ts';
import { serveTranslations } from './translation.ts';

type Callback = (error: null, message: { json(): unknown; respond(text: string): void }) => void;

test('an answer that cannot be sent any more is told, and ends nothing', async () => {
  const lines: { msg: string; detail?: string }[] = [];
  const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) });
  let ask: Callback = () => undefined;
  const connection = {
    subscribe: (_subject: string, { callback }: { callback: Callback }) => {
      ask = callback;
    },
  };
  serveTranslations({
    broker: { current: () => connection, onChange: () => () => undefined } as unknown as BrokerConnection,
    translate: () => Promise.reject(new Error('nothing is asked for here')),
    log,
  });

  ask(null, {
    json: () => ({}),
    respond: () => {
      throw new Error('CONNECTION_CLOSED');
    },
  });
  // An unhandled rejection would be known after a turn of the event loop, and fail the test.
  await new Promise((resolve) => setImmediate(resolve));

  expect(lines).toMatchObject([{ msg: 'translation.not-answered', detail: 'CONNECTION_CLOSED' }]);
});
