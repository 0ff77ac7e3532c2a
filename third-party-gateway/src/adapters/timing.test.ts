import type * as Crypto from 'node:crypto';
import { createRequire } from 'node:module';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';

// What a refusal costs is not measured here, where it would be noise, but shown by its steps: every wrong signature takes
// the same ones, and each ends in a comparison in constant time. For that the functions are watched which do the work, from
// before anything of ours has taken hold of them.
const crypto: typeof Crypto = createRequire(import.meta.url)('node:crypto');
const { timingSafeEqual, createHmac, createSecretKey } = crypto;
const steps: string[] = [];
Object.assign(crypto, {
  timingSafeEqual: (left: Uint8Array, right: Uint8Array) => {
    steps.push(`compare ${left.length} with ${right.length}`);
    return timingSafeEqual(left, right);
  },
  createHmac: (...args: Parameters<typeof createHmac>) => {
    steps.push(`hmac ${args[0]}`);
    return createHmac(...args);
  },
});
const { adapterCases, receivedAt } = await import('../testing/fixtures.ts');

beforeEach(() => void steps.splice(0));
afterAll(() => void Object.assign(crypto, { timingSafeEqual, createHmac }));

const hexDigest = /[0-9a-f]{64}/;
const base64Digest = /[A-Za-z0-9+/]{43}=/;

describe.each(adapterCases().map((one) => [one.adapter.name, one] as const))('%s', (_name, one) => {
  const source = one.source();
  const [{ body = '' } = {}] = one.fixtures;
  const [first, second] = one.secrets;

  /** With the signature as `change` leaves its bytes. */
  const signed = (change: (digest: Buffer) => void, key = first) => {
    const text = JSON.stringify(one.sign(body, { secrets: [key] }));
    const encoding = hexDigest.test(text) ? 'hex' : 'base64';
    const changed = text.replace(encoding === 'hex' ? hexDigest : base64Digest, (digest) => {
      const bytes = Buffer.from(digest, encoding);
      change(bytes);
      return bytes.toString(encoding);
    });
    return JSON.parse(changed);
  };
  const stepsOf = ({ body: text, headers }: { body: string; headers: Record<string, string> }) => {
    steps.splice(0);
    const decision = source.decide({ headers, body: Buffer.from(text), receivedAt });
    return { kind: decision.kind, code: 'code' in decision ? decision.code : undefined, steps: [...steps] };
  };

  test('takes the same steps for every wrong signature, however much of it is right', () => {
    const wrong = [0, 1, 15, 16, 30, 31].map((right) =>
      stepsOf(signed((digest) => void digest.fill(~digest.readUInt8(right), right))),
    );
    const [{ steps: taken } = { steps: [] }] = wrong;

    expect(wrong).toEqual(wrong.map(() => ({ kind: 'refused', code: 'signature-wrong', steps: taken })));
    // Once for each secret at least, and never of two lengths.
    expect(taken.filter((step) => step === 'compare 32 with 32').length).toBeGreaterThanOrEqual(2);
    expect(taken.filter((step) => step.startsWith('compare'))).toEqual(
      taken.flatMap((step) => (step.startsWith('hmac') ? ['compare 32 with 32'] : [])),
    );
  });

  test('does not tell by its steps which secret it was', () => {
    const byFirst = stepsOf(signed(() => undefined));
    const bySecond = stepsOf(signed(() => undefined, second));

    expect([byFirst.kind, bySecond.kind]).toEqual(['accepted', 'accepted']);
    expect(bySecond.steps).toEqual(byFirst.steps);
  });
});

test('a request of a thousand items that nobody signed costs no more than one', () => {
  const [adyen] = adapterCases().filter(({ adapter }) => adapter.name === 'adyen');
  const [{ body = '' } = {}] = adyen?.fixtures ?? [];
  const { notificationItems } = JSON.parse(
    adyen?.sign(body, { secrets: [{ id: 'x', key: createSecretKey(Buffer.from('x')) }] }).body ?? '',
  );
  const stepsOf = (count: number) => {
    steps.splice(0);
    const items = Array.from({ length: count }, () => notificationItems[0]);
    const decision = adyen?.source().decide({
      headers: {},
      body: Buffer.from(JSON.stringify({ notificationItems: items })),
      receivedAt,
    });
    expect(decision).toEqual({ kind: 'refused', code: 'signature-wrong' });
    return steps.length;
  };

  const [one, thousand] = [stepsOf(1), stepsOf(1_000)];

  expect([one, thousand]).toEqual([4, 4]);
});
