import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { ConfigError } from '@paystream/runtime';
import { keepSources } from '../../local/src/sources.ts';
import { throwAwayFolder } from '../../test/harness.ts';
import { readSourcesFile } from './sources-file.ts';
import { adapterCases } from './testing/fixtures.ts';

const folder = throwAwayFolder('sources');
afterAll(() => folder.remove());

const now = new Date('2026-03-04T05:06:07.000Z');
const stripeSecret = 'whsec_5f2a9c1e7b3d4860';
const path = join(folder.path, 'sources.yaml');
mkdirSync(join(folder.path, 'secrets'));
writeFileSync(join(folder.path, 'secrets/stripe'), `${stripeSecret}\n`);
writeFileSync(join(folder.path, 'secrets/empty'), '\n');
writeFileSync(join(folder.path, 'secrets/short'), 'whsec_1\n');

function readText(text: string, env: Record<string, string> = {}) {
  writeFileSync(path, text);
  return readSourcesFile({ path, env, now });
}
function linesOf(text: string, env: Record<string, string> = {}): readonly string[] {
  try {
    readText(text, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  return [];
}

describe('a file of sources', () => {
  test('names sources with their adapters and secrets, from files beside it and from the environment', () => {
    const sources = readText(
      `
stripe:
  adapter: stripe
  secrets:
    - { file: secrets/stripe, id: new }
    - { env: OLD_SECRET, until: 2026-03-04T06:00:00+00:00 }
stripe-eu: { adapter: stripe, secrets: [{ file: ${folder.path}/secrets/stripe }], currency: EUR }
`,
      { OLD_SECRET: 'whsec_the_old_secret' },
    );

    expect(sources.map(({ name, adapter, verifies }) => [name, adapter, verifies])).toEqual([
      ['stripe', 'stripe', true],
      ['stripe-eu', 'stripe', true],
    ]);
  });

  test('is the same in JSON', () => {
    expect(readText('{"x-payment":{"adapter":"x-payment","verify":"none"}}')).toMatchObject([
      { name: 'x-payment', verifies: false, answer: 'json' },
    ]);
  });

  test('gives an event without a currency the one of its source', () => {
    const [source] = readText('hooks: { adapter: standard-webhooks, verify: none, currency: CHF }');
    const body = Buffer.from('{"data":{"txId":"1","action":"NEW","amount":1}}');

    expect(source?.decide({ headers: {}, body, receivedAt: now })).toMatchObject({
      events: [{ txId: 'hooks:1', currency: 'CHF' }],
    });
  });

  const one = (text: string) => `stripe: { adapter: stripe, ${text} }`;
  const good = 'secrets: [{ file: secrets/stripe }]';
  test.each<[name: string, text: string, lines: string[]]>([
    ['nothing', '', [`${path}: names no source`]],
    ['a list', '- stripe', [`${path}: must name sources, one a key`]],
    ['no YAML', 'a: b\nb: {', [`${path}: line 2 is not YAML: bad indent`]],
    ['a source twice', `${one(good)}\n${one(good)}`, [`${path}: line 2 is not YAML: duplicate key`]],
    [
      'an alias',
      `stripe: &s { adapter: stripe, ${good} }\nstripe-eu: *s`,
      [`${path}: the alias *s is not taken; write it out`],
    ],
    ['a name in capitals', 'Stripe: {}', ['Stripe: the name of a source must be 1 to 63 of a-z 0-9 -']],
    [
      'no adapter',
      'stripe: {}',
      ['stripe.adapter: must be one of x-payment, hmac, standard-webhooks, stripe, adyen'],
    ],
    ['no secret', one('secrets: []'), ['stripe: has no secret; only verify: none lets anybody send to it']],
    [
      'no word about secrets',
      'stripe: { adapter: stripe }',
      ['stripe: has no secret; only verify: none lets anybody send to it'],
    ],
    [
      'secrets and verify: none',
      one(`${good}, verify: none`),
      ['stripe: has secrets and verify: none; one of them must go'],
    ],
    ['verify: false', one('verify: false'), ['stripe.verify: can only be none']],
    [
      'a secret in the file',
      one('secrets: [whsec_5f2a9c1e7b3d4860]'),
      ['stripe.secrets.0: Invalid input: expected object, received string'],
    ],
    ['a secret in a key', one('secret: whsec_5f2a9c1e7b3d4860'), ['stripe.secret: is not a known setting']],
    [
      'a file that is not there',
      one('secrets: [{ file: secrets/none }]'),
      [expect.stringMatching(/^stripe\.secrets\.0: secrets\/none cannot be read: /) as unknown as string],
    ],
    [
      'a variable that is not set',
      one('secrets: [{ env: NONE }]'),
      ['stripe.secrets.0: the variable NONE is not set'],
    ],
    [
      'an empty file',
      one('secrets: [{ file: secrets/empty }]'),
      ['stripe.secrets.0: what secrets/empty holds must be the signing secret of the endpoint, whsec_…'],
    ],
    [
      'a short secret',
      one('secrets: [{ file: secrets/short }]'),
      ['stripe.secrets.0: what secrets/short holds must be the signing secret of the endpoint, whsec_…'],
    ],
    [
      'a file and a variable',
      one('secrets: [{ file: a, env: B }]'),
      ['stripe.secrets.0: must have either file or env'],
    ],
    ['neither', one('secrets: [{ id: a }]'), ['stripe.secrets.0: must have either file or env']],
    [
      'an end that is no time',
      one('secrets: [{ file: secrets/stripe, until: tomorrow }]'),
      ['stripe.secrets.0.until: must be a time such as 2026-01-31T12:00:00Z'],
    ],
    [
      'only secrets that have ended',
      one('secrets: [{ file: secrets/stripe, until: 2026-03-04T05:06:07Z }]'),
      ['stripe.secrets: have all ended'],
    ],
    [
      'two secrets of one id',
      one('secrets: [{ file: secrets/stripe }, { file: secrets/stripe }]'),
      ['stripe.secrets: must have an id of their own each'],
    ],
    ['an unknown setting', one(`${good}, captureMode: auto`), ['stripe.captureMode: is not a known setting']],
    ['a limit of nothing', one(`${good}, limit: 0`), ['stripe.limit: must be at least 1']],
    [
      'a currency that is none',
      one(`${good}, currency: EURO`),
      ['stripe.currency: must be an ISO 4217 code'],
    ],
    [
      'several mistakes',
      'a: { adapter: b }\nc: { adapter: adyen, verify: none, captureMode: later, answer: yes }\nd: { adapter: hmac, verify: none }',
      [
        'a.adapter: must be one of x-payment, hmac, standard-webhooks, stripe, adyen',
        'c.answer: must be json or accepted',
        'c.captureMode: must be manual or auto',
        'd.mapping: Invalid input: expected object, received undefined',
      ],
    ],
    [
      'a path that leads nowhere',
      'a: { adapter: hmac, verify: none, mapping: { txId: id, action: { path: $.a, values: { b: NEW } }, amount: $.b } }',
      ['a.mapping.txId: must be a path to one value, such as $.data.id or $.items[0].id'],
    ],
  ])('that has %s is refused, with every mistake and no secret', (_name, text, expected) => {
    const lines = linesOf(text);

    expect(lines.map((line) => line.replace('SOURCES_FILE: ', ''))).toEqual(expected);
    expect(lines.join()).not.toContain('5f2a9c1e7b3d4860');
  });

  test('that is not there is refused by name', () => {
    expect(() => readSourcesFile({ path: `${path}.none`, env: {}, now })).toThrow(/\.none cannot be read/);
  });
});

describe('the files that are shipped', () => {
  const shipped = fileURLToPath(new URL('../sources', import.meta.url));

  test('take x-payment from anybody, and nothing else', () => {
    const sources = readSourcesFile({ path: `${shipped}/sources.yaml`, env: {}, now });

    expect(sources.map(({ name, verifies }) => [name, verifies])).toEqual([['x-payment', false]]);
  });

  test('show every adapter, and are what npm start begins with: only x-payment is not verified', () => {
    const data = join(folder.path, 'data');

    const made = keepSources(data);
    const secretsOf = () =>
      ['stripe', 'acme'].map((name) => readFileSync(join(data, 'secrets', name), 'utf8'));
    const before = secretsOf();
    keepSources(data);
    const sources = readSourcesFile({ path: made, env: {}, now });

    expect(secretsOf()).toEqual(before);
    expect(sources.map(({ adapter }) => adapter).sort()).toEqual(
      adapterCases()
        .map(({ adapter }) => adapter.name)
        .sort(),
    );
    expect(sources.filter(({ verifies }) => !verifies).map(({ name }) => name)).toEqual(['x-payment']);
  });
});
