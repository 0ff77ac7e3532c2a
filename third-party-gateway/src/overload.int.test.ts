import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { openRaw, parseAnswer, type RawConnection, sendRaw } from '../../runtime/src/testing/raw-http.ts';
import { eventually, get, post, webhook } from '../../test/harness.ts';
import { openXPayment, startTestGateway, type TestGateway } from './testing/start-gateway.ts';

let gateway: TestGateway;
let hasRoom = true;
/** What each webhook costs. */
let workMs = 0;
const opened: RawConnection[] = [];
beforeAll(async () => {
  gateway = await startTestGateway({
    publisher: (real) => ({ ...real, hasRoom: () => hasRoom }),
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
  // Together a little less than 16 MiB, and none of them whole.
  const size = 262_144;
  const fill = () => Array.from({ length: 63 }, () => open(head(size), ' '.repeat(size - 1)));

  test('leave room for no more, and the room comes back with the end of them', async () => {
    const unfinished = fill();
    await eventually(() => post(gateway, webhook()), { until: ({ status }) => status === 200 });

    const tooMuch = open(head(size), ' '.repeat(size - 1));
    const more = open(head(size), ' '.repeat(size - 1));
    const refused = await eventually(() => post(gateway, webhook()), {
      until: ({ status }) => status === 503,
    });
    for (const connection of [...unfinished, tooMuch, more]) connection.cut();

    expect(refused.body).toMatchObject(overloaded);
    const answer = await eventually(() => post(gateway, webhook()), {
      until: ({ status }) => status === 200,
    });
    expect(answer.body.message).toBe('success');
  });

  test('are not there for those who only announce them', async () => {
    for (let count = 0; count < 100; count += 1) open(head(size));

    const answer = await sendRaw(gateway.port, head(2, 'connection: close'), '{}');

    expect(answer.status).toBe(400);
    expect((await post(gateway, webhook())).status).toBe(200);
  });
});
