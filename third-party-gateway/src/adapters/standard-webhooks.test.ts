import { generateKeyPairSync, sign as signWith } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { createSource } from '../source.ts';
import { adapterCases } from '../testing/fixtures.ts';
import { standardWebhooks } from './standard-webhooks.ts';

const secretText = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const official = new Webhook(secretText);
// The library has no other clock than the machine's.
const now = () => new Date();

function sourceWith(text: string) {
  const key = standardWebhooks.readSecret(text);
  if (key === undefined) throw new Error('this is a secret');
  return createSource({
    name: 'standard-webhooks',
    adapter: standardWebhooks,
    settings: {},
    verifies: true,
    secrets: [{ id: 'key', key }],
    currency: undefined,
    answer: 'json',
  });
}
const source = sourceWith(secretText);

interface Sent {
  id: string;
  time: string;
  signature: string;
  body: string;
}

const headersOf = ({ id, time, signature }: Sent) => ({
  'webhook-id': id,
  'webhook-timestamp': time,
  'webhook-signature': signature,
});
const oursTakes = (sent: Sent, at = now()) =>
  source.decide({ headers: headersOf(sent), body: Buffer.from(sent.body), receivedAt: at }).kind ===
  'accepted';
function officialTakes(sent: Sent): boolean {
  try {
    official.verify(sent.body, headersOf(sent));
    return true;
  } catch {
    return false;
  }
}

const signOfficially = (id: string, seconds: number, body: string) =>
  official.sign(id, new Date(seconds * 1_000), body);

describe('Standard Webhooks', () => {
  test('takes the example of the specification', () => {
    const sent = {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      time: '1614265330',
      signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
      body: '{"test": 2432232314}',
    };

    expect(oursTakes(sent, new Date(1_614_265_330_000))).toBe(true);
    expect(oursTakes({ ...sent, id: 'msg_p5jXN8AQM9LWM0D4loKWxJel' }, new Date(1_614_265_330_000))).toBe(
      false,
    );
  });

  test('takes an ed25519 signature with the public key, and no other', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
    const asymmetric = sourceWith(`whpk_${raw.toString('base64')}`);
    const at = now();
    const time = String(Math.floor(at.getTime() / 1_000));
    const body = '{"type":"sample"}';
    const made = signWith(null, Buffer.from(`msg_1.${time}.${body}`), privateKey).toString('base64');
    const decide = (signature: string, sentBody = body) =>
      asymmetric.decide({
        headers: headersOf({ id: 'msg_1', time, signature, body }),
        body: Buffer.from(sentBody),
        receivedAt: at,
      });

    expect(decide(`v1,AAAA v1a,${made}`)).toMatchObject({ kind: 'accepted', keyId: 'key' });
    expect(decide(`v1,${made}`)).toEqual({ kind: 'refused', code: 'signature-wrong' });
    expect(decide(`v1a,${made}`, `${body} `)).toEqual({ kind: 'refused', code: 'signature-wrong' });
    expect(decide('v1a,AAAA')).toEqual({ kind: 'refused', code: 'signature-wrong' });
  });

  test('does not take an HMAC made with the bytes of a public key, which anybody knows', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
    const forged = new Webhook(raw, { format: 'raw' });
    const at = now();
    const signature = forged.sign('msg_1', at, '{}');

    const decision = sourceWith(`whpk_${raw.toString('base64')}`).decide({
      headers: headersOf({
        id: 'msg_1',
        time: String(Math.floor(at.getTime() / 1_000)),
        signature,
        body: '{}',
      }),
      body: Buffer.from('{}'),
      receivedAt: at,
    });

    expect(decision).toEqual({ kind: 'refused', code: 'signature-wrong' });
  });

  test.each([
    ['nothing', ''],
    ['no prefix', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    ['23 bytes', `whsec_${Buffer.alloc(23).toString('base64')}`],
    ['65 bytes', `whsec_${Buffer.alloc(65).toString('base64')}`],
    ['base64 that is not strict', `${secretText}\n`],
    ['a short public key', `whpk_${Buffer.alloc(31).toString('base64')}`],
  ])('takes no secret that is %s', (_name, text) => {
    expect(standardWebhooks.readSecret(text)).toBeUndefined();
  });
});

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/);
const body = fc
  .dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.json())
  .map((value) => JSON.stringify(value));
// Around both ends of the tolerance, but a second from them: the two read the clock one after the other.
const age = fc.oneof(fc.integer({ min: -320, max: 320 }), fc.constantFrom(-298, 298, -303, 303));
const mutation = fc.constantFrom(
  'none',
  'other version',
  'wrong first',
  'wrong last',
  'flipped',
  'cut',
  'no signature',
  'other id',
  'other time',
  'other body',
);

function mutate(sent: Sent, how: string): Sent {
  const [, made = ''] = sent.signature.split(',');
  const wrong = `v1,${Buffer.alloc(32, 7).toString('base64')}`;
  switch (how) {
    case 'other version':
      return { ...sent, signature: `v2,${made}` };
    case 'wrong first':
      return { ...sent, signature: `${wrong} v2,abc ${sent.signature}` };
    case 'wrong last':
      return { ...sent, signature: `${sent.signature} ${wrong}` };
    case 'flipped':
      return { ...sent, signature: `v1,${made.startsWith('A') ? 'B' : 'A'}${made.slice(1)}` };
    case 'cut':
      return { ...sent, signature: sent.signature.slice(0, -2) };
    case 'no signature':
      return { ...sent, signature: 'v1,' };
    case 'other id':
      return { ...sent, id: `${sent.id}x` };
    case 'other time':
      return { ...sent, time: String(Number(sent.time) + 1) };
    case 'other body':
      return { ...sent, body: `${sent.body} ` };
    default:
      return sent;
  }
}

describe('our verdict and that of the official library', () => {
  test('are the same for what a sender sends and for what is changed on its way', () => {
    const verdicts = new Set<boolean>();
    fc.assert(
      fc.property(id, body, age, mutation, (msgId, sentBody, seconds, how) => {
        // Not at the edge itself.
        fc.pre(Math.abs(Math.abs(seconds) - 300) > 1);
        const time = Math.floor(now().getTime() / 1_000) - seconds;
        const signature = signOfficially(msgId, time, sentBody);
        const sent = mutate({ id: msgId, time: String(time), signature, body: sentBody }, how);

        const verdict = officialTakes(sent);

        verdicts.add(verdict);
        expect(oursTakes(sent)).toBe(verdict);
      }),
      { numRuns: 1_000 },
    );
    expect(verdicts.size).toBe(2);
  });

  const time = Math.floor(now().getTime() / 1_000);
  const right = {
    id: 'msg_1',
    time: String(time),
    signature: signOfficially('msg_1', time, '{}'),
    body: '{}',
  };
  const stricter: [name: string, sent: Sent, reason: string][] = [
    [
      'a dot in the id',
      { ...right, id: 'a.b', signature: signOfficially('a.b', time, '{}') },
      'what is signed is joined by dots: the id could give a part of itself to what follows',
    ],
    [
      'words behind the time',
      { ...right, time: `${time}junk` },
      'it signs another text than the header says',
    ],
    ['a sign before the time', { ...right, time: `+${time}` }, 'the same'],
    ['a zero before the time', { ...right, time: `0${time}` }, 'the same'],
    [
      'eleven signatures',
      { ...right, signature: `${'v1,AAAA '.repeat(10)}${right.signature}` },
      'each costs an HMAC for each secret; the library tries 10,000',
    ],
    [
      'a second comma',
      { ...right, signature: `${right.signature},x` },
      'the header is not what it should be',
    ],
    [
      'two spaces',
      { ...right, signature: `v1,AAAA  ${right.signature}` },
      'the header is not what it should be',
    ],
    [
      'the header twice, as Node joins it',
      { ...right, signature: `v1,AAAA, ${right.signature}` },
      'who put in the second one is not known',
    ],
  ];
  test.each(stricter)('differ on purpose for %s', (_name, sent) => {
    expect([officialTakes(sent), oursTakes(sent)]).toEqual([true, false]);
  });

  test('differ on purpose for a byte that is not UTF-8: the library signs what it takes it for', () => {
    const sent = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    const other = Buffer.from([0x7b, 0x22, 0xfe, 0x22, 0x3a, 0x31, 0x7d]);
    const signature = official.sign('msg_1', new Date(time * 1_000), sent);
    const headers = headersOf({ ...right, signature });

    expect(() => official.verify(other, headers)).not.toThrow();
    expect(source.decide({ headers, body: other, receivedAt: now() })).toEqual({
      kind: 'refused',
      code: 'signature-wrong',
    });
  });
});

test('the official library takes what we sign', () => {
  const [one] = adapterCases().filter(({ adapter }) => adapter === standardWebhooks);
  const sent = one?.sign('{"a":1}', { at: now(), id: 'msg_1' });

  expect(official.verify('{"a":1}', sent?.headers ?? {})).toEqual({ a: 1 });
});
