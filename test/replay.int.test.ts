import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { eventually, type System, startSystem } from './harness.ts';
import { appliedBy, operatorTokens, rhythm, sendPaced } from './replay-harness.ts';

let system: System;
let gateway: Service;

beforeAll(async () => {
  system = await startSystem();
  gateway = await system.startGateway();
  const first = await system.startPayments({ OPERATOR_TOKENS: operatorTokens });
  await Promise.all([gateway.ready(), first.ready()]);
  await first.stop();
});
afterAll(() => system.close());

describe('after an outage of the service', () => {
  test('the backlog is applied with its original rhythm', async () => {
    const txIds = await sendPaced(gateway, { count: 100, gapMs: 50 });
    const payments = await system.startPayments({ REPLAY_LIVE_WITHIN: '100ms' });
    const applied = await eventually(() => appliedBy(payments), {
      within: 30_000,
      until: (seen) => seen.length >= txIds.length,
    });
    const { spanMs, originalMs } = rhythm(applied);
    expect(applied).toHaveLength(100);
    expect(Math.abs(spanMs - originalMs)).toBeLessThan(originalMs * 0.03);
    await payments.stop();
  });
});
