import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { eventually, post, type System, startSystem, throwAwayFolder } from '../../test/harness.ts';
import { stripe } from './adapters/stripe.ts';

const secrets = { old: 'whsec_the_old_secret_of_this_test', new: 'whsec_the_new_secret_of_this_test' };
const folder = throwAwayFolder('secrets');
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

/** As an operator would: written beside it and moved into its place. */
function writeSources(text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
const withSecrets = (...names: (keyof typeof secrets)[]) =>
  `stripe: { adapter: stripe, secrets: [${names.map((name) => `{ file: secrets/${name} }`).join(', ')}] }`;

const countOf = ({ lines }: Service, words: string) => lines.filter((line) => line.includes(words)).length;
const linesWith = (service: Service, words: string, count = 1) =>
  eventually(() => service.lines.filter((line) => line.includes(words)), {
    until: (lines) => lines.length >= count,
  });

let sent = 0;
async function send(gateway: Service, secret: string) {
  sent += 1;
  const key = stripe.readSecret(secret);
  if (key === undefined) throw new Error('this is a secret');
  const object = { id: `pi_${sent}`, amount: 100, currency: 'eur', description: '' };
  const body = JSON.stringify({
    id: `evt_${sent}`,
    type: 'payment_intent.created',
    created: 1,
    data: { object },
  });
  const signed = stripe.sign({ body, keys: [{ id: 'key', key }], at: new Date(), id: undefined }, {});
  return post(gateway, signed.body, { path: '/webhooks/stripe', headers: signed.headers });
}

/** Sends with both secrets until told to stop, and counts the answers by secret and status. */
function sendOn(gateway: Service) {
  const answers: [name: string, status: number][] = [];
  let on = true;
  const lane = async (name: keyof typeof secrets) => {
    while (on) answers.push([name, (await send(gateway, secrets[name])).status]);
  };
  const lanes = Promise.all([lane('old'), lane('old'), lane('new'), lane('new')]);
  return {
    answers,
    stop: async () => {
      on = false;
      await lanes;
    },
  };
}

describe('a secret that is changed while webhooks come', () => {
  test('costs no valid webhook in the overlap, and none is taken with the old one after it', async () => {
    writeSources(withSecrets('old'));
    const gateway = await system.startGateway({ SOURCES_FILE: file });
    await gateway.ready();
    expect([(await send(gateway, secrets.old)).status, (await send(gateway, secrets.new)).status]).toEqual([
      200, 401,
    ]);

    writeSources(withSecrets('new', 'old'));
    process.kill(gateway.pid, 'SIGHUP');
    await linesWith(gateway, 'sources.reloaded');
    const traffic = sendOn(gateway);
    for (let reload = 2; reload <= 20; reload += 1) {
      await eventually(() => traffic.answers.length, { until: (count) => count >= reload * 10 });
      process.kill(gateway.pid, 'SIGHUP');
      await linesWith(gateway, 'sources.reloaded', reload);
    }
    await traffic.stop();
    writeSources(withSecrets('new'));
    process.kill(gateway.pid, 'SIGHUP');
    await linesWith(gateway, 'sources.reloaded', 21);

    expect(traffic.answers.length).toBeGreaterThan(150);
    expect(traffic.answers.filter(([, status]) => status !== 200)).toEqual([]);
    const after = await send(gateway, secrets.old);
    expect([after.status, after.body.code]).toEqual([401, 'signature-wrong']);
    expect((await send(gateway, secrets.new)).status).toBe(200);
    await gateway.stop();
    for (const secret of Object.values(secrets)) expect(countOf(gateway, secret)).toBe(0);
    expect(countOf(gateway, '"key":"new"')).toBeGreaterThan(0);
    expect(countOf(gateway, '"key":"old"')).toBeGreaterThan(0);
  });

  test('stays as it was when the file became wrong, and the log says what is wrong', async () => {
    writeSources(withSecrets('old'));
    const gateway = await system.startGateway({ SOURCES_FILE: file });
    await gateway.ready();

    writeSources('stripe: { adapter: stripe, secret: whsec_this_one_does_not_belong_here }');
    process.kill(gateway.pid, 'SIGHUP');
    const [line = ''] = await linesWith(gateway, 'sources.not-reloaded');

    expect(JSON.parse(line)).toMatchObject({
      level: 50,
      lines: ['SOURCES_FILE: stripe.secret: is not a known setting'],
    });
    expect((await send(gateway, secrets.old)).status).toBe(200);
    await gateway.stop();
    expect(countOf(gateway, 'does_not_belong')).toBe(0);
  });
});

describe('a gateway', () => {
  test.each([
    ['is not told its sources', '', /^third-party-gateway: SOURCES_FILE: is needed/],
    [
      'has a source without a secret',
      'stripe: { adapter: stripe }',
      /stripe: has no secret; only verify: none/,
    ],
  ])('that %s does not start', async (_name, text, expected) => {
    writeSources(text);
    const gateway = await system.startGateway({ SOURCES_FILE: text === '' ? '' : file });

    expect(await gateway.exited).toEqual({ code: 1, signal: null });
    expect(gateway.lines).toEqual([expect.stringMatching(expected)]);
  });

  test('says at every start, and whenever it reads them again, which sources it does not verify', async () => {
    writeSources(`${withSecrets('old')}\nx-payment: { adapter: x-payment, verify: none }`);
    const gateway = await system.startGateway({ SOURCES_FILE: file });
    await gateway.ready();
    const [line = ''] = await linesWith(gateway, 'source.not-verified');
    expect(JSON.parse(line)).toMatchObject({ level: 40, source: 'x-payment' });

    process.kill(gateway.pid, 'SIGHUP');

    await linesWith(gateway, 'source.not-verified', 2);
    await gateway.stop();
  });
});
