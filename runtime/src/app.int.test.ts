import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { eventually } from '../../test/harness.ts';
import { addToLine, createApp, type Readiness } from './app.ts';
import { type HttpServer, listen } from './http-server.ts';
import { sendRaw } from './testing/raw-http.ts';

let server: HttpServer;
let state: Readiness = { ready: true, parts: { broker: { ok: true, detail: 'connected' } } };
const lines: Record<string, unknown>[] = [];
const openapi = { openapi: '3.1.0', info: { title: 'test', version: '1' }, paths: {} };

beforeAll(async () => {
  const app = createApp({
    log: pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) }),
    readiness: () => state,
    openapi,
    routes: (routes) => {
      routes.get('/things/:id', (req, res) => {
        addToLine(res, { thing: req.params.id });
        res.json({ id: req.params.id });
      });
      routes.get('/who', (req, res) => {
        res.json([req.ip, req.protocol, req.hostname]);
      });
      routes.get('/broken', () => {
        throw new Error('secret at /srv/app.ts');
      });
      routes.get('/broken-later', async () => Promise.reject('not even an error'));
      routes.get('/half', (_req, res) => {
        res.write('half');
        throw new Error('in the middle');
      });
    },
  });
  server = await listen(app, { port: 0, host: '127.0.0.1' });
});
afterAll(() => server.close(500));

async function call(path: string, init: RequestInit = {}) {
  const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

const lineOf = (requestId: string | null) =>
  eventually(() => lines.find((line) => line.requestId === requestId && line.msg === 'request.answered'), {
    until: (line) => line !== undefined,
  });

describe('the health calls', () => {
  test('say OK and alive', async () => {
    expect(await call('/')).toMatchObject({ status: 200, text: 'OK' });
    expect(await call('/healthz')).toMatchObject({ status: 200, text: '{"status":"alive"}' });
    expect((await call('/', { method: 'HEAD' })).status).toBe(200);
  });

  test('say 503 and name the part that fails, and no cache keeps it', async () => {
    state = {
      ready: false,
      parts: { broker: { ok: false, detail: 'away' } },
      durability: { broker: 'synced' },
    };

    const answer = await call('/readyz');
    state = { ready: true, parts: {} };

    expect([answer.status, answer.headers.get('cache-control')]).toEqual([503, 'no-store']);
    expect(JSON.parse(answer.text)).toEqual({
      status: 'not-ready',
      parts: { broker: { ok: false, detail: 'away' } },
      durability: { broker: 'synced' },
    });
    expect((await call('/readyz')).status).toBe(200);
  });

  test.each(['/', '/healthz', '/readyz', '/openapi.json'])('%s takes no POST', async (path) => {
    const answer = await call(path, { method: 'POST' });

    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});

describe('/api-docs', () => {
  test('is a page of which every part comes from here', async () => {
    const page = await call('/api-docs');
    const parts = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, part]) => part ?? '');

    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(parts.length).toBeGreaterThan(4);
    for (const part of parts) {
      expect([part, part.includes('//')]).toEqual([part, false]);
      const answer = await call(new URL(part, 'http://here/api-docs/').pathname);
      expect([part, answer.status]).toEqual([part, 200]);
      expect([part, answer.text.length > 100]).toEqual([part, true]);
    }
  });

  test('shows our document, asks no one to validate it, and lets the browser load nothing from elsewhere', async () => {
    const start = await call('/api-docs/swagger-initializer.js');
    const page = await call('/api-docs/');

    expect(start.headers.get('content-type')).toContain('text/javascript');
    expect(start.text).toContain("url: '/openapi.json'");
    expect(start.text).toContain('validatorUrl: null');
    expect(start.text).not.toContain('http');
    expect(page.headers.get('content-security-policy')).toBe(
      "default-src 'none';script-src 'self';style-src 'self' 'unsafe-inline';img-src 'self' data:;" +
        "connect-src 'self';base-uri 'none';form-action 'none';frame-ancestors 'none'",
    );
    expect(JSON.parse((await call('/openapi.json')).text)).toEqual(openapi);
  });

  test.each([
    'package.json',
    'index.js',
    'swagger-ui.js.map',
    'oauth2-redirect.html',
    '..%2fpackage.json',
    '%00',
    '%zz',
  ])('does not hand out %s', async (file) => {
    expect((await call(`/api-docs/${file}`)).status).toBe(404);
  });

  test.each([{ range: 'bytes=999999999-' }, { 'if-match': '"other"' }])(
    'answers a request with %j without a 5xx',
    async (headers) => {
      expect((await call('/api-docs/', { headers })).status).toBeLessThan(500);
    },
  );
});

describe('an error', () => {
  test.each(['/broken', '/broken-later'])(
    'of ours (%s) is a 500 without detail, and an error in the log',
    async (path) => {
      const answer = await call(path);

      const body = JSON.parse(answer.text);
      expect([answer.status, body.code]).toEqual([500, 'internal-error']);
      expect(answer.text).not.toMatch(/secret|app\.ts|not even/);
      expect(await lineOf(body.requestId)).toMatchObject({ level: 40, status: 500, code: 'internal-error' });
      expect(lines.find((line) => line.requestId === body.requestId)).toMatchObject({
        level: 50,
        msg: 'request.failed',
        err: expect.anything(),
      });
    },
  );

  test('in the middle of an answer cuts it, so that nobody takes it for whole', async () => {
    await expect(call('/half')).rejects.toThrow();
  });

  test('for an address that is not there says so in a problem document', async () => {
    const answer = await call('/nothing?token=secret');

    expect(JSON.parse(answer.text)).toMatchObject({
      code: 'not-found',
      detail: 'There is no GET /nothing here.',
    });
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('x-powered-by')).toBeNull();
  });

  test('for a request that names no host is a 400, as HTTP wants it', async () => {
    const old = await sendRaw(server.port, 'GET /healthz HTTP/1.0\r\n\r\n');
    const now = await sendRaw(server.port, 'GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n');

    expect([old.status, now.status]).toEqual([200, 400]);
    expect(now.json).toMatchObject({ code: 'malformed-request' });
  });
});

describe('what a proxy says of a client', () => {
  test('is not believed: anybody can say it', async () => {
    const said = {
      'x-forwarded-for': '192.0.2.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'bank.example',
    };

    const { text } = await call('/who', { headers: said });

    expect(JSON.parse(text)).toEqual(['127.0.0.1', 'http', '127.0.0.1']);
  });
});

describe('the log', () => {
  test('has one line for a request, with what the handler added, and without the query', async () => {
    const answer = await call('/things/7?token=secret', { headers: { 'x-request-id': 'mine-1' } });

    expect(answer.headers.get('x-request-id')).toBe('mine-1');
    expect(await lineOf('mine-1')).toMatchObject({
      level: 30,
      method: 'GET',
      path: '/things/7',
      status: 200,
      thing: '7',
      durationMs: expect.any(Number),
    });
    expect(lines.filter((line) => line.requestId === 'mine-1')).toHaveLength(1);
    expect(JSON.stringify(lines)).not.toContain('token');
  });

  test('keeps health checks to debug and long paths short', async () => {
    await call('/healthz', { headers: { 'x-request-id': 'health-1' } });
    await call(`/${'a'.repeat(5_000)}`, { headers: { 'x-request-id': 'long-1' } });

    expect(await lineOf('health-1')).toMatchObject({ level: 20 });
    expect(String((await lineOf('long-1'))?.path)).toHaveLength(200);
  });
});
