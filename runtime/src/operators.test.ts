import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { z } from 'zod';
import { createApp } from './app.ts';
import { ConfigError, parseConfig } from './config.ts';
import { type HttpServer, listen } from './http-server.ts';
import {
  createDoor,
  isLoopback,
  type OperatorToken,
  operatorOf,
  operatorTokensFileSetting,
  operatorTokensSetting,
} from './operators.ts';

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');
const schema = z.object({ TOKENS: operatorTokensSetting, TOKENS_FILE: operatorTokensFileSetting });
const readTokens = (TOKENS: string) =>
  parseConfig(schema, { TOKENS }).TOKENS.map(({ name, role, tokenHash }) => [
    name,
    role,
    tokenHash.toString('hex'),
  ]);
const linesOf = (env: Record<string, string>): readonly string[] => {
  try {
    parseConfig(schema, env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
};
const rule =
  'must be <name>:<viewer|operator>:<sha256 of the token, 64 hex digits>, the name of a-z, 0-9, _ . and - only';
const [a, b] = [hashOf('a'), hashOf('b')];

describe('the tokens of a setting', () => {
  test('are one a line or separated by commas, with room for comments and empty lines', () => {
    const text = `\uFEFF# Anna, until June\r\n anna:operator:${a} \r\n\r\n,\nbob.b_2-x:viewer:${b},anna:viewer:${b.toUpperCase()}\n#x:viewer:${a}`;

    expect(readTokens(text)).toEqual([
      ['anna', 'operator', a],
      ['bob.b_2-x', 'viewer', b],
      ['anna', 'viewer', b],
    ]);
  });

  test('are none where nothing is set', () => {
    expect(parseConfig(schema, {})).toEqual({ TOKENS: [] });
    expect(readTokens('# nobody yet\n')).toEqual([]);
  });

  test.each([
    ['a token in the place of its hash', 'anna:operator:topsecret'],
    ['a hash that is too short', `topsecret:operator:${a.slice(1)}`],
    ['a hash that is too long', `topsecret:operator:${a}0`],
    ['a hash with a letter that is no digit', `topsecret:operator:${a.slice(1)}g`],
    ['an unknown role', `topsecret:admin:${a}`],
    ['a role in capitals', `topsecret:Operator:${a}`],
    ['no role', `topsecret:${a}`],
    ['no name', `:operator:${a}`],
    ['a name in capitals', `Topsecret:operator:${a}`],
    ['a name with a blank', `top secret:operator:${a}`],
    ['a name with a colon', `top:secret:operator:${a}`],
    ['a name of 64 letters', `${'t'.repeat(64)}:operator:${a}`],
    ['room inside', `topsecret: operator:${a}`],
    ['a comment behind it', `topsecret:operator:${a} # topsecret`],
    ['only the token', 'topsecret'],
  ])('are refused with %s, and the entry is named and not repeated', (_, entry) => {
    const lines = linesOf({ TOKENS: `# first\n\nbob:viewer:${b}\n${entry}` });

    expect(lines).toEqual([`TOKENS: entry 2 ${rule}`]);
  });

  test('are refused with every wrong entry named', () => {
    expect(linesOf({ TOKENS: `x,anna:operator:${a},y` })).toEqual([
      `TOKENS: entry 1 ${rule}`,
      `TOKENS: entry 3 ${rule}`,
    ]);
  });
});

describe('the tokens of a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'paystream-operators-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const fileWith = (text: string) => {
    const path = join(folder, hashOf(text));
    writeFileSync(path, text);
    return path;
  };

  test('are read', () => {
    const { TOKENS_FILE } = parseConfig(schema, { TOKENS_FILE: fileWith(`# us\nanna:operator:${a}\n`) });

    expect(TOKENS_FILE).toEqual([{ name: 'anna', role: 'operator', tokenHash: Buffer.from(a, 'hex') }]);
  });

  test('are refused with the name of the setting, and the entry is not repeated', () => {
    expect(linesOf({ TOKENS_FILE: fileWith('topsecret\n') })).toEqual([`TOKENS_FILE: entry 1 ${rule}`]);
  });

  test('are an error when the file cannot be read, beside the other wrong settings', () => {
    const closed = fileWith('closed');
    chmodSync(closed, 0);

    expect(linesOf({ TOKENS: 'x', TOKENS_FILE: join(folder, 'nowhere') })).toEqual([
      `TOKENS: entry 1 ${rule}`,
      expect.stringMatching(/^TOKENS_FILE: cannot be read: .*ENOENT/),
    ]);
    expect(linesOf({ TOKENS_FILE: folder })).toEqual([
      expect.stringMatching(/^TOKENS_FILE: cannot be read: .*EISDIR/),
    ]);
    // Root may read everything.
    if (process.getuid?.() !== 0) expect(linesOf({ TOKENS_FILE: closed }).join()).toContain('EACCES');
  });
});

describe('isLoopback', () => {
  test.each(['localhost', '127.0.0.1', '127.8.9.1', '::1'])('is true for %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  test.each([
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '127.example.com',
    '127.0.0.1.nip.io',
    'payments',
    '',
    '1127.0.0.1',
  ])('is false for %j', (host) => {
    expect(isLoopback(host)).toBe(false);
  });
});

describe('a door', () => {
  const tokens: OperatorToken[] = [
    { name: 'vera', role: 'viewer', tokenHash: Buffer.from(hashOf('vera-token'), 'hex') },
    { name: 'otto', role: 'operator', tokenHash: Buffer.from(hashOf('otto-token'), 'hex') },
  ];
  const doors = {
    '/open': createDoor({ tokens, open: true }),
    '/closed': createDoor({ tokens, open: false }),
    '/open-without-tokens': createDoor({ tokens: [], open: true }),
    '/closed-without-tokens': createDoor({ tokens: [], open: false }),
  };
  const lines: Record<string, unknown>[] = [];
  let server: HttpServer;

  beforeAll(async () => {
    const app = createApp({
      log: pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) }),
      readiness: () => ({ ready: true, parts: {} }),
      openapi: {},
      routes: (routes) => {
        for (const [path, door] of Object.entries(doors)) {
          routes.get(path, door.needs('viewer'), (_req, res) => void res.json({ by: operatorOf(res) }));
          routes.put(path, door.needs('operator'), (_req, res) => void res.json({ by: operatorOf(res) }));
        }
      },
    });
    server = await listen(app, { port: 0, host: '127.0.0.1' });
  });
  afterAll(() => server.close(500));

  async function call(method: string, path: string, authorization?: string) {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, {
      method,
      headers: authorization === undefined ? {} : { authorization },
    });
    const { by, code, detail } = JSON.parse(await answer.text());
    return { status: answer.status, asks: answer.headers.get('www-authenticate'), by, code, detail };
  }
  const otto = 'Bearer otto-token';
  const vera = 'Bearer vera-token';

  test.each([
    ['GET', '/open', undefined, 200],
    ['GET', '/open', 'Bearer wrong', 200],
    ['GET', '/open-without-tokens', undefined, 200],
    ['GET', '/closed', vera, 200],
    ['GET', '/closed', otto, 200],
    ['GET', '/closed', undefined, 401],
    ['GET', '/closed', 'Bearer wrong', 401],
    ['GET', '/closed-without-tokens', undefined, 403],
    ['GET', '/closed-without-tokens', otto, 403],
    ['PUT', '/open', undefined, 401],
    ['PUT', '/open', vera, 403],
    ['PUT', '/open', otto, 200],
    ['PUT', '/open-without-tokens', undefined, 403],
    ['PUT', '/open-without-tokens', otto, 403],
    ['PUT', '/closed', undefined, 401],
    ['PUT', '/closed', vera, 403],
    ['PUT', '/closed', otto, 200],
    ['PUT', '/closed-without-tokens', otto, 403],
  ])('answers %s %s with %s: %i', async (method, path, authorization, expected) => {
    const { status, asks, code } = await call(method, path, authorization);

    expect(status).toBe(expected);
    expect(asks).toBe(expected === 401 ? 'Bearer' : null);
    expect(code).toBe({ 401: 'unauthorized', 403: 'forbidden' }[expected]);
  });

  test('knows who came, for the answer and for the log', async () => {
    const before = lines.length;

    expect((await call('PUT', '/closed', otto)).by).toBe('otto');
    expect((await call('GET', '/closed', vera)).by).toBe('vera');
    expect(lines.slice(before).map(({ operator }) => operator)).toEqual(['otto', 'vera']);
    expect(JSON.stringify(lines)).not.toMatch(/(otto|vera)-token/);
  });

  test.each(['bearer otto-token', 'BEARER otto-token'])('takes %j', async (authorization) => {
    expect((await call('PUT', '/closed', authorization)).status).toBe(200);
  });

  test.each([
    ...['', 'Bearer', 'Bearer ', 'otto-token', 'Basic otto-token', 'Bearerotto-token', 'Bearer  otto-token'],
    ...['Bearer otto-token x', 'Bearer otto-token,', 'Bearer Otto-Token', 'Bearer otto-toke', 'Bearer ötto'],
    ...[
      'Bearer "otto-token"',
      'Token otto-token',
      `Bearer ${hashOf('otto-token')}`,
      `Bearer ${'x'.repeat(257)}`,
    ],
  ])('refuses the header %j', async (authorization) => {
    expect(await call('PUT', '/closed', authorization)).toMatchObject({
      status: 401,
      asks: 'Bearer',
      code: 'unauthorized',
      detail: 'Send Authorization: Bearer <operator token>.',
    });
  });

  test('says what is missing: the role, a token for looking, a token for changing', async () => {
    expect((await call('PUT', '/closed', vera)).detail).toBe(
      'This needs the role operator; vera is a viewer.',
    );
    expect((await call('GET', '/closed-without-tokens')).detail).toBe(
      'Other machines can ask here and no token is configured (OPERATOR_TOKENS), so nobody may look.',
    );
    expect((await call('PUT', '/open-without-tokens')).detail).toBe(
      'No operator token is configured here (OPERATOR_TOKENS), so nobody may change anything.',
    );
  });
});
