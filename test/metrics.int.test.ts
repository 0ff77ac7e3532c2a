import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
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
  webhook,
} from './harness.ts';
import { parseScrape, scrape, untilScraped } from './metrics-text.ts';

const secrets = { old: 'whsec_the_old_secret_of_this_test', new: 'whsec_the_new_secret_of_this_test' };
const folder = throwAwayFolder('metrics');
let system: System;
let gateway: Service;
let payments: Service;

beforeAll(async () => {
  mkdirSync(join(folder.path, 'secrets'));
  for (const [name, secret] of Object.entries(secrets)) {
    writeFileSync(join(folder.path, 'secrets', name), `${secret}\n`);
  }
  const SOURCES_FILE = join(folder.path, 'sources.yaml');
  writeFileSync(
    SOURCES_FILE,
    [
      'x-payment: { adapter: x-payment, verify: none }',
      'stripe-eu: { adapter: stripe, secrets: [{ file: secrets/old }, { file: secrets/new }] }',
    ].join('\n'),
  );
  system = await startSystem();
  [gateway, payments] = await Promise.all([system.startGateway({ SOURCES_FILE }), system.startPayments()]);
  await Promise.all([gateway.ready(), payments.ready()]);
});
afterAll(async () => {
  await system.close();
  folder.remove();
});

let sent = 0;
function sendStripe(secret: string, { type = 'payment_intent.created', signed = true } = {}) {
  sent += 1;
  const key = stripe.readSecret(secret);
  if (key === undefined) throw new Error('this is a secret');
  const object = { id: `pi_${sent}`, amount: 100, currency: 'eur', description: '' };
  const body = JSON.stringify({ id: `evt_${sent}`, type, created: 1, data: { object } });
  const { headers } = stripe.sign({ body, keys: [{ id: 'key', key }], at: new Date(), id: undefined }, {});
  return post(gateway, body, { path: '/webhooks/stripe-eu', headers: signed ? headers : {} });
}

describe('/metrics', () => {
  test('is the text format of Prometheus, in names and units as they are usual', async () => {
    for (const service of [gateway, payments]) {
      const { headers } = await get(service, '/metrics');
      const { types, helps, samples } = await scrape(service);

      expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(headers.get('cache-control')).toBe('no-store');
      expect([...types.keys()].filter((name) => !helps.has(name))).toEqual([]);
      const ours = [...types].filter(([name]) => name.startsWith('paystream_'));
      expect(ours.length).toBeGreaterThan(8);
      expect(ours.filter(([name, type]) => (type === 'counter') !== name.endsWith('_total'))).toEqual([]);
      expect(ours.filter(([name]) => /_(ms|millis|milliseconds|minutes|kb|mb)(_|$)/.test(name))).toEqual([]);
      expect(samples.some(({ name }) => name === 'process_cpu_seconds_total')).toBe(true);
      expect(samples.some(({ name }) => name === 'nodejs_eventloop_lag_seconds')).toBe(true);
    }
  });

  test('is read as strictly as Prometheus reads', () => {
    const bad = [
      'a_metric 1\n',
      '# TYPE a gauge\na{x=1} 2\n',
      '# TYPE a gauge\na 1\na 1\n',
      '# TYPE a gauge\na',
    ];
    for (const text of bad) expect(() => parseScrape(text)).toThrow();
  });

  test('takes no other method', async () => {
    const [first, second] = await twice(() => post(gateway, {}, { path: '/metrics' }));

    expect([first.status, second.status]).toEqual([405, 405]);
  });

  test('of a gateway that third parties can reach is for viewers alone, and for nobody where none is named', async () => {
    const tokenHash = createHash('sha256').update('vera-token').digest('hex');
    const [closed, guarded] = await Promise.all([
      system.startGateway({ HOST: '0.0.0.0' }),
      system.startGateway({ HOST: '0.0.0.0', OPERATOR_TOKENS: `vera:viewer:${tokenHash}` }),
    ]);
    await Promise.all([closed.ready(), guarded.ready()]);
    const statusOf = async (service: Service, token: string) =>
      (await get(service, '/metrics', { authorization: `Bearer ${token}` })).status;

    expect(await statusOf(closed, 'vera-token')).toBe(403);
    expect(await statusOf(guarded, 'another-token')).toBe(401);
    expect(await statusOf(guarded, 'vera-token')).toBe(200);
    expect(JSON.stringify((await get(guarded, '/metrics')).body)).not.toContain('paystream_');
    expect((await post(guarded, webhook())).status).toBe(200);
    await Promise.all([closed.stop(), guarded.stop()]);
  });

  test('of the gateway counts webhooks by source and outcome, refusals by reason, and the secret that matched', async () => {
    for (let index = 0; index < 5; index += 1) {
      const body = webhook();
      await twice(() => post(gateway, body));
    }
    await post(gateway, '{"amount":');
    await post(gateway, webhook({ amount: -1 }));
    await sendStripe(secrets.old);
    await sendStripe(secrets.new);
    await sendStripe(secrets.new);
    await sendStripe(secrets.new, { type: 'customer.created' });
    await sendStripe('whsec_of_somebody_else');
    await sendStripe(secrets.new, { signed: false });
    for (let index = 0; index < 20; index += 1) {
      await post(gateway, webhook(), { path: `/webhooks/made-up-${index}` });
    }
    await get(gateway, '/nothing/here');

    const seen = await untilScraped(gateway, {
      'paystream_webhooks_total{source="x-payment",adapter="x-payment",outcome="stored"}': 5,
      'paystream_webhooks_total{source="x-payment",outcome="duplicate"}': 5,
      'paystream_webhooks_total{source="x-payment",outcome="refused"}': 2,
      'paystream_webhooks_total{source="x-payment",outcome="unavailable"}': 0,
      'paystream_webhooks_total{source="stripe-eu",adapter="stripe",outcome="stored"}': 4,
      'paystream_webhooks_total{source="stripe-eu",outcome="refused"}': 2,
      'paystream_webhooks_total{source="(unknown)",outcome="refused"}': 20,
      'paystream_webhooks_refused_total{source="x-payment",reason="malformed-request"}': 1,
      'paystream_webhooks_refused_total{source="x-payment",reason="invalid-event"}': 1,
      'paystream_webhooks_refused_total{source="stripe-eu",reason="signature-wrong"}': 1,
      'paystream_webhooks_refused_total{source="stripe-eu",reason="signature-missing"}': 1,
      'paystream_webhooks_refused_total{reason="unknown-source"}': 20,
      'paystream_webhooks_verified_total{source="stripe-eu",secret="old"}': 1,
      'paystream_webhooks_verified_total{source="stripe-eu",secret="new"}': 3,
      'paystream_webhooks_verified_total{source="x-payment",secret="none"}': 10,
      'paystream_webhooks_unmapped_total{source="stripe-eu"}': 1,
      'paystream_publishes_total{outcome="stored"}': 9,
      'paystream_publishes_total{outcome="duplicate"}': 5,
      paystream_publish_duration_seconds_count: 14,
      paystream_webhooks_in_flight: 0,
      'paystream_part_ok{part="broker"}': 1,
      paystream_ready: 1,
    });

    // Repeats are known here and are not sent to the broker again.
    expect(seen.value('paystream_publish_batch_messages_sum')).toBe(9);
    expect(seen.labelValues('paystream_webhooks_total', 'source').toSorted()).toEqual([
      '(unknown)',
      'stripe-eu',
      'x-payment',
    ]);
    expect(seen.text).not.toContain('made-up');
    for (const secret of Object.values(secrets)) expect(seen.text).not.toContain(secret);
  });

  test('of the payment-service counts what became of each delivery, and the balance is 0', async () => {
    await untilQuiet(system);
    const before = await scrape(payments);
    const js = (await system.nats()).jetstream();
    const { txId } = webhook();
    const byHand = (fields: object) => js.publish('payments.new', JSON.stringify(fields));
    const same = { txId, action: 'NEW', amount: 100, note: 'the same' };

    // Without an id the broker takes each: it is the record that knows them.
    for (let index = 0; index < 4; index += 1) await byHand(same);
    await byHand({ ...same, amount: 200, note: 'a second new', eventId: 'second' });
    await byHand({ ...same, amount: 300, note: 'another content', eventId: 'second' });
    await js.publish('payments.new', '{not json');
    await js.publish('payments.new', '{not json either');
    await js.publish('payments.draft', JSON.stringify(same));
    await untilQuiet(system);

    const counted = (name: string, labels: Record<string, string> = {}) => before.value(name, labels) ?? 0;
    const outcome = (name: string, more: number) => {
      const labels = { queue: 'payment', outcome: name };
      return {
        [`paystream_deliveries_total{queue="payment",outcome="${name}"}`]:
          counted('paystream_deliveries_total', labels) + more,
      };
    };
    const seen = await untilScraped(payments, {
      ...outcome('applied', 2),
      ...outcome('duplicate', 3),
      ...outcome('conflict', 1),
      ...outcome('dead-letter', 3),
      ...outcome('retry', 0),
      ...outcome('unmapped', 0),
      'paystream_dead_letters_written_total{reason="not-json"}': 2,
      'paystream_dead_letters_written_total{reason="subject-mismatch"}': 1,
      'paystream_anomalies_total{code="second-new"}': 1,
      'paystream_deliveries_taken_total{queue="payment"}':
        counted('paystream_deliveries_taken_total', { queue: 'payment' }) + 9,
      'paystream_apply_latency_seconds_count{queue="payment"}':
        counted('paystream_apply_latency_seconds_count', { queue: 'payment' }) + 2,
      'paystream_deliveries_in_hand{queue="payment"}': 0,
      'paystream_deliveries_in_hand{queue="backlog"}': 0,
      'paystream_held_messages{queue="payment"}': 0,
      paystream_deliveries_balance: 0,
      paystream_dead_letters: 3,
      'paystream_lag_messages{queue="payment"}': 0,
      'paystream_lag_messages{queue="backlog"}': 0,
      'paystream_lag_seconds{queue="payment"}': 0,
      'paystream_queue_limit_bytes{queue="payment"}': 2_147_483_648,
      'paystream_part_ok{part="database"}': 1,
      'paystream_part_ok{part="broker"}': 1,
      paystream_replay_speed: 1,
      paystream_replay_leads: 1,
      'paystream_replay_mode{mode="original"}': 1,
      'paystream_replay_mode{mode="instant"}': 0,
      'paystream_replay_state{state="live"}': 1,
      'paystream_replay_state{state="paused"}': 0,
    });

    expect(seen.value('paystream_dead_letters_oldest_age_seconds')).toBeGreaterThan(0);
    expect(seen.value('paystream_dead_letters_oldest_age_seconds')).toBeLessThan(60);
    expect(seen.value('paystream_apply_batch_messages_sum')).toBe(
      seen.value('paystream_deliveries_taken_total'),
    );
    expect(seen.helps.get('paystream_deliveries_balance')).toContain('An anomaly is an applied event');
  });

  test('tells of a backlog how much it is and how old, and counts what was set aside', async () => {
    await untilQuiet(system);
    await payments.stop();
    for (let index = 0; index < 30; index += 1) await post(gateway, webhook());
    const oldestAt = Date.now();
    await eventually(() => Date.now() - oldestAt, { until: (ms) => ms > 1_000 });
    payments = await system.startPayments({ REPLAY_LIVE_WITHIN: '100ms', REPLAY_SPEED: '0.1' });
    await payments.ready();

    const first = await eventually(() => scrape(payments), {
      until: (seen) => (seen.value('paystream_lag_messages', { queue: 'backlog' }) ?? 0) > 0,
    });
    const seen = await untilScraped(payments, {
      'paystream_deliveries_total{queue="payment",outcome="set-aside"}': 30,
      'paystream_deliveries_total{queue="backlog",outcome="applied"}': 30,
      'paystream_lag_messages{queue="backlog"}': 0,
      'paystream_lag_seconds{queue="backlog"}': 0,
      'paystream_deliveries_in_hand{queue="backlog"}': 0,
      paystream_deliveries_balance: 0,
    });

    expect(first.value('paystream_lag_seconds', { queue: 'backlog' })).toBeGreaterThan(1);
    expect(first.value('paystream_replay_speed')).toBe(0.1);
    expect(first.value('paystream_deliveries_balance')).toBe(0);
    expect(seen.value('paystream_apply_latency_seconds_count', { queue: 'backlog' })).toBe(30);
  });
});
