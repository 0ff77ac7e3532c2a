import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually, post } from '../../test/harness.ts';
import { adapterCases } from './testing/fixtures.ts';
import { startTestGateway, type TestGateway } from './testing/start-gateway.ts';

const limit = 20;
const [stripe] = adapterCases({ at: new Date() }).filter(({ adapter }) => adapter.name === 'stripe');
const [open] = adapterCases().filter(({ adapter }) => adapter.name === 'x-payment');
if (stripe === undefined || open === undefined) throw new Error('they are not in the list');
const [sample] = stripe.fixtures.filter(({ events }) => events.length === 1);

let gateway: TestGateway;
let closed: string | undefined;
beforeAll(async () => {
  const sources = [stripe.source({ limit }), open.source({ verifies: false })];
  gateway = await startTestGateway({ sources: () => sources, closedBecause: () => closed });
});
afterAll(() => gateway.close());

const send = (headers?: Record<string, string>) => {
  const signed = stripe.sign((sample?.body ?? '').replace('evt_1', randomUUID()), { at: new Date() });
  return post(gateway, signed.body, { path: '/webhooks/stripe', headers: headers ?? signed.headers });
};

describe('a source with a limit', () => {
  test('gets 429 and a time to wait beyond it, others are not touched, and then it goes on', async () => {
    const answers = await Promise.all(Array.from({ length: 3 * limit }, () => send()));
    const other = await post(gateway, { txId: randomUUID(), action: 'NEW', amount: 1, note: '' });

    const refused = answers.filter(({ status }) => status === 429);
    // The second may have changed in the middle.
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(2 * limit);
    expect(refused.length).toBeGreaterThanOrEqual(limit);
    expect(refused.map(({ body, headers }) => [body.code, headers.get('retry-after')])).toEqual(
      refused.map(() => ['too-many-requests', '1']),
    );
    expect(other.status).toBe(200);
    const later = await eventually(() => send(), { until: ({ status }) => status === 200 });
    expect(later.body.duplicate).toBe(false);
  });

  test('loses none of its room to those who send in its name', async () => {
    await eventually(() => send(), { until: ({ status }) => status === 200 });

    const forged = await Promise.all(Array.from({ length: 5 * limit }, () => send({})));

    expect(forged.map(({ status }) => status)).toEqual(forged.map(() => 401));
    expect((await send()).status).toBe(200);
  });

  test('loses none of it while the service is not there for it', async () => {
    closed = 'The service is starting; send it again.';
    const early = await Promise.all(Array.from({ length: 3 * limit }, () => send()));
    closed = undefined;

    expect(early.map(({ status }) => status)).toEqual(early.map(() => 503));
    expect((await send()).status).toBe(200);
  });
});
