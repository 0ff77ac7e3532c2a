import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { newTraceparent, parseTraceparent, traceIdOf, writeTraceparent } from './traceparent.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';

describe('parseTraceparent', () => {
  test.each([
    [`00-${traceId}-${spanId}-01`, true],
    [`00-${traceId}-${spanId}-00`, false],
    // Only the first bit is known here.
    [`00-${traceId}-${spanId}-03`, true],
    [`00-${traceId}-${spanId}-fe`, false],
    // A version of the future, with what it may have behind a dash.
    [`01-${traceId}-${spanId}-01`, true],
    [`cc-${traceId}-${spanId}-01-what-the-future-brings`, true],
  ])('takes %s', (text, sampled) => {
    expect(parseTraceparent(text)).toEqual({ traceId, spanId, sampled });
  });

  test.each([
    undefined,
    '',
    'nonsense',
    // Two headers of that name, as Node joins them.
    `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}-01-`,
    `cc-${traceId}-${spanId}-01.more`,
    `cc-${traceId}-${spanId}-01-${'x'.repeat(500)}`,
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    `00-${traceId}-${spanId}0-01`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}-0g`,
    `00-${traceId}-${spanId}-01\n`,
    ` 00-${traceId}-${spanId}-01`,
    `0-${traceId}-${spanId}-01`,
  ])('does not take %j', (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
    expect(traceIdOf(text)).toBeUndefined();
  });

  test('reads back what is written', () => {
    const hex = (length: number) =>
      fc
        .string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
        .filter((text) => !/^0+$/.test(text));
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), (id, span, sampled) => {
        const context = { traceId: id, spanId: span, sampled };
        expect(parseTraceparent(writeTraceparent(context))).toEqual(context);
      }),
    );
  });
});

describe('newTraceparent', () => {
  test('makes a trace that nobody else has, to be recorded', () => {
    const made = Array.from({ length: 1_000 }, newTraceparent);

    expect(made.map(parseTraceparent).every((context) => context?.sampled === true)).toBe(true);
    expect(new Set(made.map(traceIdOf)).size).toBe(1_000);
  });
});
