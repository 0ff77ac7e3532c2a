import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { get, type System, startSystem, throwAwayFolder } from '../../test/harness.ts';

let system: System;
const folder = throwAwayFolder('operators');
const tokensFile = join(folder.path, 'tokens');
const entryOf = (name: string, role: string) =>
  `${name}:${role}:${createHash('sha256').update(`${name}-token`).digest('hex')}`;
const bearer = (name: string) => ({ authorization: `Bearer ${name}-token` });
const reads = [
  '/transactions',
  '/transactions/stripe:pi_1',
  '/replay',
  '/dead-letters',
  '/dead-letters/1',
  '/redrives',
  '/metrics',
];

beforeAll(async () => {
  system = await startSystem();
  writeFileSync(
    tokensFile,
    `# who may do what\n${entryOf('vera', 'viewer')}\n${entryOf('otto', 'operator')}\n`,
  );
});
afterAll(async () => {
  await system.close();
  folder.remove();
});

const putReplay = async ({ url }: Service, headers: Record<string, string>) =>
  fetch(`${url}/replay`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', ...headers },
    body: '{"speed":4,"reason":"a test"}',
  });

describe('a service that other machines can reach', () => {
  test('shows nothing without a token configured, says why, and still tells how it is', async () => {
    const service = await system.startPayments({ HOST: '0.0.0.0' });
    await service.ready();

    for (const path of reads) {
      const { status, body } = await get(service, path, bearer('otto'));
      expect([path, status, body.code]).toEqual([path, 403, 'forbidden']);
      expect(body.detail).toContain('OPERATOR_TOKENS');
    }
    expect((await putReplay(service, bearer('otto'))).status).toBe(403);
    for (const path of ['/', '/healthz', '/readyz', '/openapi.json']) {
      expect([path, (await get(service, path)).status]).toEqual([path, 200]);
    }
    await service.stop();
  });

  test('shows all to a viewer, lets an operator change, and nobody else', async () => {
    const service = await system.startPayments({ HOST: '0.0.0.0', OPERATOR_TOKENS_FILE: tokensFile });
    await service.ready();

    for (const path of reads) {
      expect([path, (await get(service, path)).status]).toEqual([path, 401]);
      expect([401, 403]).not.toContain((await get(service, path, bearer('vera'))).status);
      expect([401, 403]).not.toContain((await get(service, path, bearer('otto'))).status);
    }
    expect((await putReplay(service, {})).status).toBe(401);
    expect((await putReplay(service, bearer('vera'))).status).toBe(403);
    const changed = [await putReplay(service, bearer('otto')), await putReplay(service, bearer('otto'))];
    expect(changed.map(({ status }) => status)).toEqual([200, 200]);
    expect((await get(service, '/replay', bearer('vera'))).body).toMatchObject({
      speed: 4,
      changedBy: 'otto',
      reason: 'a test',
    });
    expect(service.lines.join()).not.toMatch(/(vera|otto)-token/);
    await service.stop();
  });
});

describe('a service whose tokens cannot be read', () => {
  test.each([
    [
      { OPERATOR_TOKENS_FILE: join(folder.path, 'nowhere') },
      /^payment-service: OPERATOR_TOKENS_FILE: .*ENOENT/,
    ],
    [{ OPERATOR_TOKENS: 'otto:operator:top-secret' }, /^payment-service: OPERATOR_TOKENS: entry 1 must be /],
  ])('says so and exits 1: %j', async (env, line) => {
    const service = await system.startPayments(env);

    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.lines).toEqual([expect.stringMatching(line)]);
    expect(service.lines.join()).not.toContain('top-secret');
  });
});
