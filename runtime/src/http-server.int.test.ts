import type { RequestListener } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../../test/harness.ts';
import { type HttpServer, type ListenOptions, listen } from './http-server.ts';
import { isRefused, openRaw, parseAnswer, type RawConnection, sendRaw } from './testing/raw-http.ts';

const opened: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((server) => server.close(0)));
});

async function start(handler: RequestListener, options: Partial<ListenOptions> = {}): Promise<HttpServer> {
  const server = await listen(handler, { port: 0, host: '127.0.0.1', ...options });
  opened.push(server);
  return server;
}

const request = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
const last = 'GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
const ok: RequestListener = (_req, res) => void res.end('ok');

/** Answers when the test says so. */
function heldBack() {
  const waiting: (() => void)[] = [];
  const handler: RequestListener = (_req, res) => void waiting.push(() => res.end('late'));
  return { handler, waiting };
}

function ask(port: number): RawConnection {
  const connection = openRaw(port);
  connection.write(request);
  return connection;
}

describe('listen', () => {
  test('rejects when the port is taken, and leaves the other one alone', async () => {
    const { port } = await start(ok);

    await expect(start(ok, { port })).rejects.toThrow(
      `port ${port} of 127.0.0.1 is in use: set PORT to a free one`,
    );

    expect((await fetch(`http://127.0.0.1:${port}`)).status).toBe(200);
  });

  test('rejects an address that is not ours', async () => {
    await expect(start(ok, { host: '192.0.2.1' })).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });
});

describe('close', () => {
  test('lets what is in hand finish, and takes nothing new', async () => {
    const { handler, waiting } = heldBack();
    const server = await start(handler);
    const inHand = ask(server.port);
    await eventually(() => waiting.length, { until: (count) => count === 1 });

    const closing = server.close(5_000);
    await eventually(() => isRefused(server.port), { until: (refused) => refused });
    waiting[0]?.();
    const answer = parseAnswer(await inHand.closed);
    await closing;

    expect([answer.status, answer.text, answer.headers.get('connection')]).toEqual([200, 'late', 'close']);
  });

  test('answers the connections that the kernel took and we had not seen yet', async () => {
    const server = await start(ok);
    const connections = Array.from({ length: 50 }, () => ask(server.port));

    await server.close(5_000);

    const answers = await Promise.all(
      connections.map(async ({ closed }) => parseAnswer(await closed).status),
    );
    expect(answers).toEqual(answers.map(() => 200));
  });

  test('does not wait for connections on which nobody speaks', async () => {
    const server = await start(ok);
    const silent = openRaw(server.port);
    const halfway = openRaw(server.port);
    halfway.write('GET / HTTP/1.1\r\n');
    const kept = ask(server.port);
    await eventually(kept.received, { until: (text) => text.endsWith('ok') });

    const startedAt = performance.now();
    await server.close(5_000);
    await Promise.all([silent.closed, halfway.closed, kept.closed]);

    expect(performance.now() - startedAt).toBeLessThan(2_500);
  });

  test('does not wait for a client that goes on asking on its connection', async () => {
    const server = await start(ok);
    const busy = ask(server.port);
    let asked = 1;
    const goOn = setInterval(() => {
      asked += 1;
      busy.write(request);
    }, 1);
    await eventually(busy.received, { until: (text) => text.includes('ok') });

    const startedAt = performance.now();
    await server.close(5_000);
    const received = await busy.closed;
    clearInterval(goOn);

    expect(performance.now() - startedAt).toBeLessThan(2_500);
    expect(received).toMatch(/connection: close/i);
    expect(asked).toBeGreaterThan(1);
  });

  test('cuts what does not finish in time', async () => {
    const { handler, waiting } = heldBack();
    const server = await start(handler);
    const stuck = ask(server.port);
    await eventually(() => waiting.length, { until: (count) => count === 1 });

    const startedAt = performance.now();
    await server.close(400);

    expect(performance.now() - startedAt).toBeLessThan(1_500);
    expect(await stuck.closed).toBe('');
  });
});

describe('connections', () => {
  test('that say nothing give way to those that ask, and one with a request in hand to nobody', async () => {
    const { handler, waiting } = heldBack();
    const connectionsMax = 20;
    const server = await start((req, res) => (req.url === '/' ? handler(req, res) : ok(req, res)), {
      connectionsMax,
    });
    const inHand = ask(server.port);
    await eventually(() => waiting.length, { until: (count) => count === 1 });
    const silent = Array.from({ length: 10 * connectionsMax }, () => openRaw(server.port));
    for (const connection of silent) connection.write('GET /slow HTTP/1.1\r\nhost: x\r\n');
    let cut = 0;
    for (const { closed } of silent) void closed.then(() => (cut += 1));

    for (let asked = 0; asked < 2 * connectionsMax; asked += 1) {
      // Who has only just come may be about to ask, and gives way a second later.
      await eventually(() => sendRaw(server.port, last), { until: ({ status }) => status === 200 });
    }
    await eventually(() => cut, { until: (count) => count >= 2 * connectionsMax });
    waiting[0]?.();

    await eventually(inHand.received, { until: (seen) => seen.endsWith('late') });
    for (const connection of [...silent, inHand]) connection.cut();
  });

  test('are closed when nobody asks on them for too long', async () => {
    const server = await start(ok, { idleTimeoutMs: 200 });
    const connection = ask(server.port);

    expect(parseAnswer(await connection.closed).headers.get('connection')).toBe('keep-alive');
  });

  test('are closed when nobody takes the answer', async () => {
    let closed = false;
    const server = await start(
      (_req, res) => {
        res.once('close', () => {
          closed = true;
        });
        res.end('x'.repeat(50_000_000));
      },
      { idleTimeoutMs: 200 },
    );
    // Nobody listens for its data, so it reads none.
    const reader = connect(server.port, '127.0.0.1');
    reader.on('error', () => {});
    reader.write(request);

    await eventually(() => closed, { until: (is) => is });
    reader.destroy();
  });

  test('on which ten thousand requests are sent in one go get all their answers, in order', async () => {
    const { handler, waiting } = heldBack();
    const asked: string[] = [];
    const server = await start((req, res) => {
      if (req.url === '/0') return handler(req, res);
      asked.push(req.url ?? '');
      res.end(`<${req.url}>`.padEnd(200));
    });
    const count = 10_000;
    const connection = openRaw(server.port);
    connection.write(Array.from({ length: count }, (_, at) => request.replace('/', `/${at}`)).join(''));

    // What waits behind an answer that does not come is not taken without end.
    await eventually(() => waiting.length, { until: (length) => length === 1 });
    expect((await sendRaw(server.port, last)).status).toBe(200);
    expect(asked.length).toBeLessThan(count / 2);
    waiting[0]?.();
    const text = await eventually(connection.received, { until: (seen) => seen.includes(`</${count - 1}>`) });
    connection.cut();

    const order = [...text.matchAll(/<\/(\d+)>/g)].map(([, at]) => Number(at));
    expect(order).toEqual(Array.from({ length: count - 1 }, (_, at) => at + 1));
  });
});

describe('what is not HTTP', () => {
  test('gets a problem document, and its connection is closed though it stays open on the other side', async () => {
    const server = await start(ok);

    const answer = await sendRaw(server.port, 'NONSENSE\r\n\r\n');

    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: 'malformed-request', requestId: 'none' });
  });

  test('waits behind the answers to the good requests before it', async () => {
    const { handler, waiting } = heldBack();
    const server = await start(handler);
    const connection = openRaw(server.port);
    connection.write(`${request}${request}NONSENSE\r\n\r\n`);
    await eventually(() => waiting.length, { until: (count) => count === 2 });

    for (const answer of waiting) answer();
    const received = await connection.closed;

    expect(received.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(received).not.toContain('400');
  });

  test('in the middle of an answer ends it, so that nobody takes it for whole', async () => {
    const server = await start((_req, res) => {
      res.writeHead(200, { 'content-length': 100 });
      res.write('half');
    });
    const connection = openRaw(server.port);
    connection.write('POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    await eventually(connection.received, { until: (text) => text.endsWith('half') });

    connection.write('NONSENSE\r\n');

    expect((await connection.closed).endsWith('half')).toBe(true);
  });
});

describe('more connections than are served', () => {
  test('are answered 503 and closed, and the others go on', async () => {
    const { port } = await start(ok, { connectionsMax: 2 });
    const served = [ask(port), ask(port)];
    for (const { received } of served) await eventually(received, { until: (text) => text.endsWith('ok') });

    const surplus = parseAnswer(await ask(port).closed);
    served[0]?.write(request);

    expect(surplus.json).toMatchObject({ status: 503, code: 'overloaded' });
    expect([surplus.headers.get('connection'), surplus.headers.get('retry-after')]).toEqual(['close', '2']);
    await eventually(() => served[0]?.received(), { until: (text) => text?.match(/200 OK/g)?.length === 2 });
    for (const connection of served) connection.cut();
    await eventually(() => sendRaw(port, request.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n')), {
      until: ({ status }) => status === 200,
    });
  });
});
