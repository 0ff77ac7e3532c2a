import { describe, expect, test } from '@jest/globals';
import { parseSendArguments } from './arguments.ts';

const at = new Date('2026-03-04T05:06:07.890Z');
const parse = (line: string) =>
  parseSendArguments(
    line.split(' ').filter((word) => word !== ''),
    at,
  );

describe('the command line of npm run send', () => {
  test('names source and type, and whatever else is to be said', () => {
    const line =
      'stripe refund.created --txId pi_1 --amount 0 --currency CHF --note n --reference re_1 --eventId evt_1 --url http://h --print';

    expect(parse(line)).toEqual({
      kind: 'send',
      send: {
        source: 'stripe',
        type: 'refund.created',
        values: {
          txId: 'pi_1',
          amount: 0,
          currency: 'CHF',
          note: 'n',
          reference: 're_1',
          eventId: 'evt_1',
          at,
        },
        url: 'http://h',
        print: true,
      },
    });
  });

  test('makes new ids where none are given, for each call', () => {
    const [first, second] = [parse('adyen CAPTURE'), parse('adyen CAPTURE')];

    expect(first).toMatchObject({
      kind: 'send',
      send: { values: { amount: 1_250, currency: 'EUR' }, print: false },
    });
    for (const field of ['txId', 'reference', 'eventId'] as const) {
      expect(first.kind === 'send' && first.send.values[field]).not.toBe(
        second.kind === 'send' && second.send.values[field],
      );
    }
  });

  test.each(['', '--help', 'stripe --help'])('asks for the usage: %s', (line) => {
    expect(parse(line)).toEqual({ kind: 'usage' });
  });

  test.each(['stripe', 'stripe a b', 'stripe a --amount 1.5', 'stripe a --amount', 'stripe a --what'])(
    'is wrong: %s',
    (line) => {
      expect(parse(line)).toEqual({ kind: 'wrong', why: expect.any(String) });
    },
  );
});
