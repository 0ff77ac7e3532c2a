import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { operatorEntry } from '@paystream/runtime';
import { stripe } from '../third-party-gateway/src/adapters/stripe.ts';
import {
  eventually,
  get,
  post,
  type System,
  startSystem,
  throwAwayFolder,
  twice,
  untilQuiet,
} from './harness.ts';

const secrets = { old: 'whsec_the_secret_that_is_configured', new: 'whsec_the_one_that_stripe_signs_with' };
const token = 'the-token-of-otto';
const authorization = { authorization: `Bearer ${token}` };
const folder = throwAwayFolder('refused');
const file = join(folder.path, 'sources.yaml');

let system: System;
beforeAll(async () => {
  system = await startSystem();
  mkdirSync(join(folder.path, 'secrets'));
  for (const [name, secret] of Object.entries(secrets)) {
    writeFileSync(join(folder.path, 'secrets', name), `${secret}\n`);
  }
});
afterAll(async () => {
  await system.close();
  folder.remove();
});

function useSecret(name: keyof typeof secrets): void {
  writeFileSync(`${file}.new`, `stripe: { adapter: stripe, secrets: [{ file: secrets/${name} }] }`);
  renameSync(`${file}.new`, file);
}

async function sendFromStripe(gateway: Service) {
  const key = stripe.readSecret(secrets.new);
  if (key === undefined) throw new Error('this is a secret');
  const object = { id: 'pi_1', amount_received: 1_250, currency: 'eur', description: 'order' };
  const event = { id: 'evt_1', type: 'payment_intent.succeeded', created: 1_770_000_000, data: { object } };
  const keys = [{ id: 'key', key }];
  const signed = stripe.sign({ body: JSON.stringify(event), keys, at: new Date(), id: undefined }, {});
  return post(gateway, signed.body, { path: '/webhooks/stripe', headers: signed.headers });
}

test('webhooks refused for a wrong secret become their transaction, once, when the secret is mended', async () => {
  useSecret('old');
  const tokens = operatorEntry({ name: 'otto', role: 'operator', token });
  const gateway = await system.startGateway({ SOURCES_FILE: file, OPERATOR_TOKENS: tokens });
  const payments = await system.startPayments();
  await Promise.all([gateway.ready(), payments.ready()]);
  const list = async () => (await get(gateway, '/refused', authorization)).body.items;
  const retry = (sequence: number) =>
    post(gateway, { reason: 'mended' }, { path: `/refused/${sequence}/retry`, headers: authorization });

  // Stripe tries twice, with two signatures of the same event.
  const refused = await twice(() => sendFromStripe(gateway));
  expect(refused.map(({ status }) => status)).toEqual([401, 401]);
  // It listens on the loopback address, as behind a proxy that lets third parties in.
  expect((await get(gateway, '/refused')).status).toBe(401);
  const kept = await eventually(list, { until: (items) => items.length === 2 });
  expect((await retry(1)).body).toMatchObject({ outcome: 'refused', code: 'signature-wrong' });

  useSecret('new');
  process.kill(gateway.pid, 'SIGHUP');
  await eventually(() => gateway.lines.some((line) => line.includes('sources.reloaded')), {
    until: (is) => is,
  });
  const [one, two] = await twice(() => retry(kept[0].sequence));
  expect([one.body.outcome, two.body.code]).toEqual(['accepted', 'unknown-refused-webhook']);
  expect((await sendFromStripe(gateway)).status).toBe(200);
  expect((await retry(kept[1].sequence)).body).toMatchObject({
    outcome: 'accepted',
    messages: [{ duplicate: true }],
  });

  await untilQuiet(system);
  const { body } = await get(payments, '/transactions/stripe:pi_1');
  expect(body).toMatchObject({ status: 'approved', amount: 1_250, amounts: { captured: 1_250 } });
  expect(body.actionHistory).toMatchObject([{ eventId: 'evt_1', receivedAt: kept[0].receivedAt }]);
  expect(await list()).toEqual([]);
  const line = gateway.lines.find((text) => text.includes('"outcome":"accepted"'));
  expect(JSON.parse(line ?? '')).toMatchObject({
    operator: 'otto',
    reason: 'mended',
    refused: kept[0].sequence,
  });
  expect(gateway.lines.join()).not.toMatch(/whsec_|the-token-of-otto|v1=/);
});

test('a gateway on a broker of an older installation takes webhooks, and says what it does not keep', async () => {
  const manager = await (await system.nats()).jetstreamManager();
  await manager.streams.delete('refused-webhooks');
  const tokens = operatorEntry({ name: 'otto', role: 'operator', token });
  const gateway = await system.startGateway({
    SOURCES_FILE: file,
    OPERATOR_TOKENS: tokens,
    PROVISION: 'false',
  });
  await gateway.ready();

  expect((await sendFromStripe(gateway)).status).toBe(200);
  expect((await post(gateway, '{}', { path: '/webhooks/stripe' })).status).toBe(401);
  expect((await get(gateway, '/refused', authorization)).body).toMatchObject({
    status: 503,
    code: 'refused-unavailable',
  });
  expect(gateway.lines.join()).toContain('is missing, so refused webhooks are not kept');

  const later = await system.startGateway({ SOURCES_FILE: file, OPERATOR_TOKENS: tokens });
  await later.ready();
  await post(gateway, '{}', { path: '/webhooks/stripe' });
  await eventually(async () => (await get(gateway, '/refused', authorization)).body.items, {
    until: (items) => items?.length === 1,
  });
  expect((await get(gateway, '/refused', authorization)).body.notKept).toBe(1);
});
