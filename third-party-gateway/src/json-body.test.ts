import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readJsonBody } from './json-body.ts';

const read = (text: string) => readJsonBody(new TextEncoder().encode(text));
const detailOf = (body: ReturnType<typeof read>) => (body.kind === 'refused' ? body.detail : 'taken');

// -0 is written as 0, and a fraction reads as NaN on purpose: neither comes back as it went in.
const integers = fc.maxSafeInteger().filter((value) => !Object.is(value, -0));
const keys = fc.string({ unit: 'binary' }).filter((key) => key !== '__proto__');
const { value: json } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false),
    integers,
    fc.string({ unit: 'binary' }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(keys, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

describe('readJsonBody', () => {
  test('reads what JSON.parse reads, for any value and spacing', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(0, 2, '\t', '\r\n'), (value, space) => {
        const text = JSON.stringify(value, undefined, space);

        expect(read(text)).toEqual({ kind: 'value', value: JSON.parse(text) });
      }),
      { numRuns: 500 },
    );
  });

  test('takes nothing that JSON.parse refuses, and throws for no bytes at all', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text.slice(0, -1))),
        ),
        (bytes) => {
          const body = readJsonBody(bytes);

          if (body.kind === 'value') JSON.parse(new TextDecoder().decode(bytes));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ['', 'The body is empty.'],
    [' ', 'The body is not JSON.'],
    ['\ufeff{}', 'The body is not JSON.'],
    ['{}{}', 'The body is not JSON.'],
    ['{"a":1,}', 'The body is not JSON.'],
    ['{a:1}', 'The body is not JSON.'],
    ["{'a':1}", 'The body is not JSON.'],
    ['/* c */ {}', 'The body is not JSON.'],
    ['{"a":01}', 'The body is not JSON.'],
    ['{"a":+1}', 'The body is not JSON.'],
    ['{"a":.5}', 'The body is not JSON.'],
    ['{"a":0x10}', 'The body is not JSON.'],
    ['{"a":NaN}', 'The body is not JSON.'],
    ['{"a":"\u0000"}', 'The body is not JSON.'],
    ['{"a":"\\x"}', 'The body is not JSON.'],
    ['{"a":1,"a":1}', 'The key "a" stands twice.'],
    ['{"a":1,"\\u0061":2}', 'The key "a" stands twice.'],
    ['{"a":[{"b":1},{"b":1,"b":2}]}', 'The key "b" stands twice.'],
    ['{"__proto__":{}}', 'The key __proto__ is not taken.'],
    ['{"a":{"__proto__":1}}', 'The key __proto__ is not taken.'],
    ['{"\\u005f_proto__":{}}', 'The key __proto__ is not taken.'],
  ])('refuses %j', (text, detail) => {
    expect(detailOf(read(text))).toBe(detail);
  });

  test.each([
    ['a lone continuation byte', [0x22, 0x80, 0x22]],
    ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
    ['a surrogate in UTF-8', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ])('refuses %s', (_name, bytes) => {
    expect(detailOf(readJsonBody(Uint8Array.from(bytes)))).toBe('The body is not valid UTF-8.');
  });

  test.each(['1.0', '1e2', '1E2', '-0.0', '1e999', '1.5'])('reads the number %s as NaN', (number) => {
    expect(read(`{"a":${number}}`)).toEqual({ kind: 'value', value: { a: Number.NaN } });
  });

  test('keeps -0 apart from 0', () => {
    expect(read('[0,-0]')).toEqual({ kind: 'value', value: [0, -0] });
  });

  test('takes 32 levels and refuses 33, and as many as fit into a body', () => {
    const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

    expect(detailOf(read(nested(32)))).toBe('taken');
    expect(detailOf(read(nested(33)))).toBe('The body nests deeper than 32 levels.');
    expect(detailOf(read(nested(131_072)))).toBe('The body nests deeper than 32 levels.');
    // Not even to see that it never ends: it is refused before it is parsed.
    expect(detailOf(read('['.repeat(262_144)))).toBe('The body nests deeper than 32 levels.');
    expect(detailOf(read(`{"a":${nested(32)}}`))).toBe('The body nests deeper than 32 levels.');
    expect(detailOf(read(`["\\"[${'['.repeat(40)}\\\\",${nested(31)},{}]`))).toBe('taken');
  });

  test('leaves the prototype of objects alone', () => {
    const body = read('{"constructor":{"prototype":{"polluted":1}},"toString":1}');

    expect(body).toMatchObject({ kind: 'value', value: { toString: 1 } });
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});
