import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { keepSources } from '../../../local/src/sources.ts';
import { eventually, get, type System, startSystem, throwAwayFolder } from '../../../test/harness.ts';
import { adapterCases } from '../testing/fixtures.ts';
import { sampleTypes } from './samples.ts';

const folder = throwAwayFolder('send');
const root = join(import.meta.dirname, '../../..');
const sourcesFile = keepSources(folder.path);

let system: System;
let gateway: Service;
let payments: Service;
beforeAll(async () => {
  system = await startSystem();
  gateway = await system.startGateway({ SOURCES_FILE: sourcesFile });
  payments = await system.startPayments();
  await Promise.all([gateway.ready(), payments.ready()]);
});
afterAll(async () => {
  await system.close();
  folder.remove();
});

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

const asBuilt = [process.execPath, 'third-party-gateway/dist/send/main.js'];
const asNpmRunsIt = ['npm', 'run', '--silent', 'send', '--'];

const send = (...args: string[]) => run(asBuilt, args);

function run([command = '', ...first]: readonly string[], args: readonly string[]): Promise<Ended> {
  const { PATH, HOME } = process.env;
  const child = spawn(command, [...first, ...args], {
    cwd: root,
    env: { PATH, HOME, SOURCES_FILE: sourcesFile },
  });
  const ended: Ended = { code: null, out: '', err: '' };
  child.stdout.on('data', (text) => {
    ended.out += text;
  });
  child.stderr.on('data', (text) => {
    ended.err += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ ...ended, code })));
}

const transactionOf = ({ out }: Ended) => /^transaction (\S+)$/m.exec(out)?.[1] ?? '';
const read = (txId: string) => get(payments, `/transactions/${encodeURIComponent(txId)}?wait=10`);

describe('npm run send', () => {
  test.each([
    ['x-payment', 'NEW', 'new'],
    ['stripe', 'payment_intent.succeeded', 'approved'],
    ['adyen', 'AUTHORISATION', 'authorized'],
    ['standard-webhooks', 'payment.declined', 'declined'],
    ['acme', 'payment.paid', 'approved'],
  ])('signs and sends a sample of %s, and the transaction is there', async (source, type, status) => {
    const ended = await send(source, type, '--amount', '4711', '--url', gateway.url ?? '');

    expect([ended.code, ended.err]).toEqual([0, '']);
    const { body } = await read(transactionOf(ended));
    expect(body).toMatchObject({ source, status, amount: 4_711 });
  });

  test('tells the story of one payment, from its authorisation to a dispute', async () => {
    const txId = `psp-${Date.now()}`;
    const story: [type: string, amount: string, reference: string][] = [
      ['AUTHORISATION', '1000', 'x'],
      ['CAPTURE', '1000', 'capture-1'],
      ['REFUND', '400', 'refund-1'],
      ['REFUND_FAILED', '400', 'refund-1'],
      ['REFUND', '300', 'refund-2'],
      ['CHARGEBACK', '700', 'dispute-1'],
    ];
    for (const [type, amount, reference] of story) {
      const values = ['--txId', txId, '--amount', amount, '--reference', reference];
      expect((await send('adyen', type, ...values, '--url', gateway.url ?? '')).code).toBe(0);
    }

    const { body } = await eventually(() => read(`adyen:${txId}`), {
      until: ({ body: seen }) => seen.actionHistory?.length === story.length,
    });

    expect(body).toMatchObject({
      status: 'partially_refunded',
      amounts: { authorized: 1_000, captured: 1_000, refunded: 300, disputed: 700 },
      anomalies: [],
    });
    const { webhookId } = body.actionHistory[0];
    const kept = await get(payments, `/webhooks-received/${webhookId}`);
    expect(JSON.parse(kept.body.body)).toMatchObject({ notificationItems: [expect.any(Object)] });
  });

  test('sends what nobody maps: it is answered 200 and kept with the reason', async () => {
    const ended = await send('stripe', 'customer.created', '--url', gateway.url ?? '');
    const [, id = ''] = /"id":"stripe\.unmapped\.([0-9a-f]{32})"/.exec(ended.out) ?? [];

    const kept = await eventually(() => get(payments, `/webhooks-received/${id}`), {
      until: ({ status }) => status === 200,
    });

    expect(ended.code).toBe(0);
    expect(kept.body).toMatchObject({
      source: 'stripe',
      reasons: ['nothing is made of events of the type customer.created'],
    });
  });

  test('prints what it would send', async () => {
    const { code, out } = await run(asNpmRunsIt, ['stripe', 'refund.failed', '--print', '--txId', 'pi_1']);

    expect(code).toBe(0);
    expect(out).toMatch(/^POST http:\/\/127\.0\.0\.1:3000\/webhooks\/stripe\n/);
    expect(out).toMatch(/^stripe-signature: t=\d+,v1=[0-9a-f]{64}$/m);
    expect(out).toContain('"payment_intent":"pi_1"');
  });

  test('lists every source with what it can say', async () => {
    const { code, out } = await send();

    expect(code).toBe(0);
    for (const { adapter } of adapterCases()) {
      for (const type of sampleTypes(adapter.name)) expect(out).toContain(`  ${type}\n`);
    }
    expect(out).not.toMatch(/whsec_/);
  });

  test.each([
    ['a source that is not there', ['paypal', 'x'], 2],
    ['a sample that is not there', ['stripe', 'x'], 2],
    ['an option that is not there', ['stripe', 'x', '--y'], 2],
    ['a gateway that is not there', ['stripe', 'refund.failed', '--url', 'http://127.0.0.1:1'], 1],
  ])('says what is wrong with %s', async (_name, args, expected) => {
    const { code, err } = await send(...args);

    expect([code, err]).toEqual([expected, expect.stringMatching(/^send: /)]);
    expect(err).not.toMatch(/ {4}at /);
  });
});
