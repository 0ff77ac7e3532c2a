import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { operatorEntry } from '@paystream/runtime';
import mongoose from 'mongoose';
import { sendRaw } from '../runtime/src/testing/raw-http.ts';
import type { Signed } from '../third-party-gateway/src/adapters/adapter.ts';
import type { SourceSecret } from '../third-party-gateway/src/source.ts';
import { type AdapterCase, adapterCases } from '../third-party-gateway/src/testing/fixtures.ts';
import { eventually, type System, startSystem, throwAwayFolder } from './harness.ts';

// Each of these words is sent, or is a secret of ours. None may come out again where it does not belong.
const word = (what: string) => `canary-${what}-${randomBytes(12).toString('hex')}`;
const inBody = word('body');
const inSignature = word('signature');
const inHeader = word('header');
const inQuery = word('query');
const brokerPassword = word('broker');
const databasePassword = word('database');
const operatorToken = word('operator');
const wrongToken = word('token');
const wrongSetting = word('setting');

const secretTexts: Readonly<Record<string, string>> = {
  stripe: `whsec_${randomBytes(24).toString('hex')}`,
  adyen: randomBytes(32).toString('hex'),
  'standard-webhooks': `whsec_${randomBytes(32).toString('base64')}`,
  hmac: randomBytes(24).toString('hex'),
  'x-payment': randomBytes(24).toString('hex'),
};

/** The forms in which a secret could be written: as it is, as its bytes are, and both encoded. */
function formsOf(text: string): string[] {
  const core = text.replace(/^whsec_/, '');
  const bytes = [Buffer.from(core), Buffer.from(text), Buffer.from(core, 'hex'), Buffer.from(core, 'base64')];
  const encoded = bytes.flatMap((one) => [one.toString('hex'), one.toString('base64').replace(/=+$/, '')]);
  return [core, ...encoded].filter((form) => form.length > 12);
}

const cases = adapterCases({ at: new Date(), note: inBody });
const secretOf = ({ adapter }: AdapterCase): SourceSecret => {
  const key = adapter.readSecret(secretTexts[adapter.name] ?? '');
  if (key === undefined) throw new Error(`the secret of ${adapter.name} cannot be read`);
  return { id: 'the-key', key };
};

const folder = throwAwayFolder('canaries');
let system: System;
let gateway: Service;
let payments: Service;
/** Whatever was answered, but for answers whose very purpose is to show a body. */
const answers: string[] = [];
const signatures: string[] = [];

beforeAll(async () => {
  mkdirSync(join(folder.path, 'secrets'));
  const sources = cases.map(({ adapter, settings }) => {
    writeFileSync(join(folder.path, 'secrets', adapter.name), `${secretTexts[adapter.name]}\n`);
    const secrets = [{ id: 'the-key', file: `secrets/${adapter.name}` }];
    return [adapter.name, { adapter: adapter.name, ...settings, secrets }];
  });
  writeFileSync(join(folder.path, 'sources.yaml'), JSON.stringify(Object.fromEntries(sources)));
  system = await startSystem();
  const common = { LOG_LEVEL: 'trace', NATS_USER: 'somebody', NATS_PASSWORD: brokerPassword };
  gateway = await system.startGateway({ ...common, SOURCES_FILE: join(folder.path, 'sources.yaml') });
  payments = await system.startPayments({
    ...common,
    OPERATOR_TOKENS: operatorEntry({ name: 'otto', role: 'operator', token: operatorToken }),
  });
  await Promise.all([gateway.ready(), payments.ready()]);
});
afterAll(async () => {
  await system.close();
  folder.remove();
});

async function ask(service: Service, path: string, init: RequestInit = {}): Promise<number> {
  const answer = await fetch(`${service.url}${path}`, init);
  answers.push(
    `${path.split('?', 1)} ${answer.status} ${JSON.stringify([...answer.headers])} ${await answer.text()}`,
  );
  return answer.status;
}

const json = { 'content-type': 'application/json' };
const leaky = { authorization: `Bearer ${inHeader}`, cookie: `session=${inHeader}`, 'x-request-id': '{}' };

/** Past Express and through it. */
async function send(name: string, { body, headers }: Signed, more: Record<string, string> = {}) {
  const init = { method: 'POST', body, headers: { ...json, ...leaky, ...headers, ...more } };
  const direct = await ask(gateway, `/webhooks/${name}`, init);
  const byExpress = await ask(gateway, `/webhooks/${name}?token=${inQuery}`, init);
  expect(byExpress).toBe(direct);
  return direct;
}

/** Everything that can be wrong with a webhook of an adapter. */
function badOnes(
  one: AdapterCase,
  key: SourceSecret,
): [status: number, sent: Signed, more?: Record<string, string>][] {
  const body = one.fixtures[0]?.body ?? '';
  const good = one.sign(body, { secrets: [key] });
  // Its right signature is nowhere to be found either.
  signatures.push(...signaturesOf(one, good));
  const names = one.headers.filter((name) => /signature/.test(name));
  const withSignature = (text: string): Signed => ({
    body,
    headers: { ...good.headers, ...Object.fromEntries(names.map((name) => [name, text])) },
  });
  const inItem = names.length === 0;
  const signed = (text: string): Signed =>
    inItem ? { body: text, headers: {} } : one.sign(text, { secrets: [key] });
  const anHourAgo = new Date(Date.now() - 3_600_000);
  return [
    [401, { body, headers: {} }],
    [401, one.sign(body, { secrets: one.secrets.slice(1) })],
    [401, withSignature(inSignature)],
    [401, withSignature(`v1,${Buffer.from(inSignature).toString('base64')}`)],
    [400, signed(`{"note":"${inBody}"`)],
    [400, signed(`{"a":"${inBody}","a":1}`)],
    [400, signed(`{"a":${'['.repeat(40)}"${inBody}"${']'.repeat(40)}}`)],
    [413, { body: `"${inBody}"`.padEnd(300_000), headers: good.headers }],
    [415, good, { 'content-type': `text/${inHeader}` }],
    [415, good, { 'content-encoding': inHeader }],
    ...(inItem ? [] : [[401, one.sign(body, { secrets: [key], at: anHourAgo })] satisfies [number, Signed]]),
  ];
}

function signaturesOf({ adapter }: AdapterCase, { body, headers }: Signed): string[] {
  if (adapter.name === 'adyen')
    return [...body.matchAll(/"hmacSignature":"([^"]+)"/g)].map(([, text = '']) => text);
  return Object.entries(headers)
    .flatMap(([name, text]) =>
      /signature/.test(name) ? text.split(/[ ,]/).map((part) => part.replace(/^(v1=|sha256=)/, '')) : [],
    )
    .filter((part) => part.length > 20);
}

describe('what is secret, signed or sent', () => {
  test.each(cases.map((one) => [one.adapter.name, one] as const))(
    'goes through %s, good and bad',
    async (name, one) => {
      const key = secretOf(one);
      for (const fixture of one.fixtures) {
        const sent = one.sign(fixture.body.replaceAll('evt_1', randomUUID()), { secrets: [key] });
        signatures.push(...signaturesOf(one, sent));
        expect(await send(name, sent)).toBe(200);
      }
      // Verified, and nobody knows what it is.
      const strange =
        name === 'adyen'
          ? {
              notificationItems: [
                { NotificationRequestItem: { eventCode: inBody, success: 'true', pspReference: inBody } },
              ],
            }
          : {
              type: inBody,
              txId: inBody,
              action: inBody,
              amount: inBody,
              note: 5,
              id: inBody,
              data: { txId: inBody },
            };
      expect(await send(name, one.sign(JSON.stringify(strange), { secrets: [key] }))).toBe(
        name === 'x-payment' ? 400 : 200,
      );
      for (const [status, sent, more] of badOnes(one, key))
        expect([sent, await send(name, sent, more)]).toEqual([sent, status]);
    },
  );

  test('is said to both services in every wrong way', async () => {
    for (const { url } of [gateway, payments]) {
      const port = Number(new URL(url ?? '').port);
      for (const raw of [
        `GET /?${inQuery} HTTP/1.1\r\nhost: a\r\nauthorization: ${inHeader}\nb: c\r\n\r\n`,
        `GET http://[?${inQuery} HTTP/1.1\r\nhost: a\r\nauthorization: ${inHeader}\r\nconnection: close\r\n\r\n`,
        `${inQuery}\r\n\r\n`,
      ]) {
        const { status, headers, text } = await sendRaw(port, raw);
        answers.push(`${JSON.stringify([...headers])} ${text}`);
        expect(status).toBe(400);
      }
    }
    const authorization = `Bearer ${operatorToken}`;
    const translate = `/webhooks-received/${'0'.repeat(32)}/translate`;
    const post = (headers: Record<string, string>, body: string) => ({
      method: 'POST',
      headers: { ...json, ...leaky, ...headers },
      body,
    });
    for (const path of [translate, '/dead-letters/1/redrive', '/dead-letters/redrive']) {
      expect(await ask(payments, path, post({ authorization: `Bearer ${wrongToken}` }, '{}'))).toBe(401);
      expect(await ask(payments, path, post({ authorization }, `{"reason":"${inBody}`))).toBe(400);
      expect(await ask(payments, path, post({ authorization }, `{"reason":["${inBody}"]}`))).toBe(400);
    }
    for (const path of ['/transactions', '/dead-letters', '/redrives', `/transactions/${randomUUID()}`]) {
      expect(await ask(payments, `${path}?token=${inQuery}`, { headers: { authorization } })).toBe(400);
      expect(await ask(payments, `${path}?cursor=${inQuery}&limit=${inQuery}&status=${inQuery}`)).toBe(400);
    }
  });

  test('lies in messages that nobody can read, and in writes that the database refuses', async () => {
    const nats = await system.nats();
    for (const text of [
      `{"note":"${inBody}"`,
      inBody,
      `{"action":"NEW","txId":"${inBody} ","amount":"${inBody}"}`,
    ]) {
      nats.publish('payments.new', text);
    }
    await eventually(() => payments.lines.filter((line) => line.includes('"unreadable"')).length, {
      until: (count) => count >= 3,
    });
    expect(await ask(payments, '/dead-letters')).toBe(200);

    const mongo = await mongoose.createConnection(system.mongoUri).asPromise();
    const validator = { $jsonSchema: { properties: { note: { maxLength: 1 } } } };
    await mongo.db?.command({ collMod: 'transactions', validator });
    const [stripe] = cases.filter(({ adapter }) => adapter.name === 'stripe');
    const [sample] = stripe?.fixtures.filter(({ type }) => type === 'payment_intent.created') ?? [];
    if (stripe === undefined || sample === undefined) throw new Error('there is no such sample');
    const body = sample.body
      .replaceAll('evt_1', randomUUID())
      .replaceAll(/2f1c7a1e-[0-9a-f-]+/g, randomUUID());
    expect(await send('stripe', stripe.sign(body, { secrets: [secretOf(stripe)] }))).toBe(200);
    await eventually(() => payments.lines.filter((line) => line.includes('"retry"')).length, {
      until: (count) => count > 0,
    });
    await mongo.close();
  });

  test('stands in settings that are wrong, and in an address that refuses us', async () => {
    const wrong = join(folder.path, 'wrong.yaml');
    writeFileSync(join(folder.path, 'secrets', 'short'), wrongSetting.slice(0, 3));
    writeFileSync(
      wrong,
      `stripe: { adapter: stripe, secret: ${wrongSetting}, secrets: [{ file: secrets/short }] }\n`,
    );
    const uri = new URL(system.mongoUri);
    uri.username = 'somebody';
    uri.password = databasePassword;

    const starts = await Promise.all([
      system.startGateway({ SOURCES_FILE: wrong }),
      system.startGateway({ NATS_URI: `nats://somebody:${wrongSetting}@127.0.0.1`, PORT: wrongSetting }),
      system.startPayments({
        MONGO_URI: `http://somebody:${wrongSetting}@127.0.0.1/x`,
        OPERATOR_TOKENS: wrongSetting,
        REPLAY_SPEED: wrongSetting,
      }),
      system.startPayments({ MONGO_URI: uri.toString(), LOG_LEVEL: 'trace' }),
    ]);
    const refused = starts.slice(0, 3);
    expect(await Promise.all(refused.map(({ exited }) => exited))).toEqual(
      refused.map(() => ({ code: 1, signal: null })),
    );
    const [, , , lockedOut] = starts;
    await eventually(() => lockedOut?.lines.join() ?? '', {
      until: (said) => /[Aa]uthentication failed/.test(said),
    });
    await lockedOut?.stop();

    const said = starts.flatMap(({ lines }) => lines).join('\n');
    for (const form of [...formsOf(wrongSetting), ...formsOf(databasePassword)])
      expect(said).not.toContain(form);
  });

  test('comes out in no answer and in no line of a log, and every line is one JSON document', async () => {
    await Promise.all([gateway.stop(), payments.stop()]);
    const lines = [...gateway.lines, ...payments.lines];
    const said = [...lines, ...answers].join('\n');

    // That there was something to search.
    expect(lines.filter((line) => line.includes('"request.answered"')).length).toBeGreaterThan(200);
    expect(lines.filter((line) => line.includes('"message.settled"')).length).toBeGreaterThan(40);
    expect(answers.length).toBeGreaterThan(200);
    expect(signatures.length).toBeGreaterThan(40);
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();

    const secrets = [
      ...Object.values(secretTexts),
      operatorToken,
      wrongToken,
      brokerPassword,
      databasePassword,
    ];
    const words = [inBody, inSignature, inHeader, inQuery, ...secrets].flatMap(formsOf);
    const out = [...words, ...signatures].filter((one) => said.includes(one));
    expect(out.map((one) => said.split('\n').find((line) => line.includes(one)))).toEqual([]);
    expect(answers.join('\n')).not.toMatch(
      /\bat .*:\d+:\d+|node_modules|express|mongoose|\b(nats|node|mongo\w*)\/?v?\d+\.\d+/i,
    );
  });
});
