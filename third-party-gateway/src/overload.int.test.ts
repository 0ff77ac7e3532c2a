import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { openRaw, parseAnswer, type RawConnection, sendRaw } from '../../runtime/src/testing/raw-http.ts';
import { eventually, get, post, webhook } from '../../test/harness.ts';
import { openXPayment, startTestGateway, type TestGateway } from './testing/start-gateway.ts';

let gateway: TestGateway;
let hasRoom = true;
/** What the broker's word on an event waits for. */
let word = Promise.resolve();
/** What each webhook costs. */
let workMs = 0;
const opened: RawConnection[] = [];
beforeAll(async () => {
  gateway = await startTestGateway({
    publisher: (real) => ({
      hasRoom: () => hasRoom,
      publish: async (...said) => {
        await word;
        return real.publish(...said);
      },
    }),
    sources: () => {
      const until = performance.now() + workMs;
      while (performance.now() < until);
      return openXPayment();
    },
  });
});
afterEach(() => {
  hasRoom = true;
  workMs = 0;
  word = Promise.resolve();
  for (const connection of opened.splice(0)) connection.cut();
});
afterAll(() => gateway.close());

const head = (length: number, ...lines: string[]) =>
  `${['POST /webhooks/x-payment HTTP/1.1', 'host: gateway', 'content-type: application/json', `content-length: ${length}`, ...lines].join('\r\n')}\r\n\r\n`;
const open = (...sent: string[]) => {
  const connection = openRaw(gateway.port);
  for (const text of sent) connection.write(text);
  opened.push(connection);
  return connection;
};
/** What this process has open; nothing where nobody tells. */
const openFiles = () =>
  existsSync('/proc/self/fd')
    ? readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`);
        } catch {
          // The one of this very look.
          return [];
        }
      })
    : [];
const overloaded = { status: 503, code: 'overloaded' };

describe('while enough events wait to be stored', () => {
  test('a webhook is answered 503 before its body has come, with the time to wait', async () => {
    hasRoom = false;
    const before = await gateway.stored();

    const connection = open(head(100, 'x-request-id: early'));
    const answer = parseAnswer(
      await eventually(connection.received, { until: (text) => text.endsWith('}') }),
    );

    expect(answer.json).toMatchObject({ ...overloaded, requestId: 'early' });
    expect([answer.status, Number(answer.headers.get('retry-after'))]).toEqual([503, 2]);
    expect(await gateway.stored()).toBe(before);
  });

  test('its connection serves the next one, when there is room', async () => {
    hasRoom = false;
    const body = JSON.stringify(webhook());
    const connection = open(head(body.length), body);
    await eventually(connection.received, { until: (text) => text.includes('overloaded') });

    hasRoom = true;
    connection.write(head(body.length, 'connection: close'));
    connection.write(body);

    expect(await connection.closed).toContain('"success"');
  });

  test('who asks whether the service is well is answered', async () => {
    hasRoom = false;

    expect((await get(gateway, '/readyz')).status).toBe(200);
    expect((await post(gateway, webhook())).body).toMatchObject(overloaded);
  });
});

test('webhooks that come together and take long are turned away from the moment on at which they are too much', async () => {
  const connections = Array.from({ length: 60 }, () =>
    open('GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n'),
  );
  for (const { received } of connections)
    await eventually(received, { until: (text) => text.includes('alive') });

  workMs = 30;
  for (const { write } of connections) {
    const body = JSON.stringify(webhook());
    write(`${head(body.length)}${body}`);
  }
  const answers = await Promise.all(
    connections.map(({ received }) =>
      eventually(received, { until: (text) => /"success"|"overloaded"/.test(text) }),
    ),
  );

  const taken = answers.filter((text) => text.includes('"success"')).length;
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThan(40);
});

describe('bodies that fill what all of them may take', () => {
  // 64 of them are 16 MiB.
  const size = 262_144;
  /** Answered 400 for what it says, or 503 because there is no room for it. */
  const oneMore = () => sendRaw(gateway.port, head(size, 'connection: close'), ' '.repeat(size));
  const untilFull = (openAnother: () => void) =>
    eventually(
      () => {
        openAnother();
        return oneMore();
      },
      { within: 30_000, until: ({ status }) => status === 503 },
    );
  const untilRoom = () => eventually(oneMore, { until: ({ status }) => status === 400 });

  test('leave room for no more, and the room comes back with the end of them', async () => {
    const { json } = await untilFull(() => open(head(size), ' '.repeat(size - 1)));
    expect(json).toMatchObject(overloaded);

    for (const connection of opened) connection.cut();

    await untilRoom();
    expect((await post(gateway, webhook())).status).toBe(200);
  });

  test('give the room back also when they wait behind an answer that nobody reads, and the line breaks', async () => {
    // More than the kernel takes: the answers behind it have no place in the line yet.
    const download = 'GET /api-docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: gateway\r\n\r\n'.repeat(6);
    await untilFull(() => {
      const connection = open();
      connection.pause();
      connection.write(download);
      connection.write(`${head(size)}${' '.repeat(size)}`.repeat(2));
    });

    for (const connection of opened) connection.cut();

    await untilRoom();
    // Nor is a file of the page left open for them.
    expect(openFiles().filter((file) => file.includes('swagger-ui'))).toEqual([]);
  });

  test('count for as long as somebody has them, also when their senders have gone', async () => {
    let say = () => {};
    word = new Promise((resolve) => {
      say = resolve;
    });
    const body = JSON.stringify(webhook());
    const whole = `${body}${' '.repeat(size - body.length)}`;
    const another = () => open(head(size, 'x-request-id: gone'), whole);
    await untilFull(another);
    // One that was still on its way would leave room when its line is cut; these find none, or take its place.
    for (let more = 0; more < 3; more += 1) another();
    await oneMore();

    for (const connection of opened) connection.cut();
    // The line comes when the gateway has seen that the sender is gone.
    await eventually(() => gateway.linesOf('gone'), {
      until: (lines) => lines.filter(({ aborted }) => aborted).length > 60,
    });
    const meanwhile = await oneMore();
    say();

    expect(meanwhile.json).toMatchObject(overloaded);
    await untilRoom();
  });

  test('are not there for those who only announce them', async () => {
    for (let count = 0; count < 100; count += 1) open(head(size));

    const answer = await sendRaw(gateway.port, head(2, 'connection: close'), '{}');

    expect(answer.status).toBe(400);
    expect((await post(gateway, webhook())).status).toBe(200);
  });
});
