import { describe, expect, test } from '@jest/globals';
import { help, parseArguments } from './arguments.ts';
import { faults } from './faults.ts';
import { mutations } from './mutations.ts';

const parse = (...args: string[]) => parseArguments(args, () => 42);

describe('npm run chaos', () => {
  test('takes all faults for five minutes with a seed of its own unless told otherwise', () => {
    expect(parse()).toEqual({
      kind: 'run',
      arguments: {
        seeds: [42],
        minutes: 5,
        faults: faults.map(({ name }) => name),
        perSecond: 12,
        report: 'chaos-report.json',
        writeDocs: false,
        mutations: [],
      },
    });
  });

  test('takes the beginning of a name for all that begin so', () => {
    expect(
      parse('--seed', '7,8', '--minutes', '0.5', '--rate', '20', '--faults', 'stop,lost-consumer-ack'),
    ).toEqual({
      kind: 'run',
      arguments: {
        seeds: [7, 8],
        minutes: 0.5,
        faults: ['stop-gateway', 'stop-payments', 'lost-consumer-ack'],
        perSecond: 20,
        report: 'chaos-report.json',
        writeDocs: false,
        mutations: [],
      },
    });
  });

  test.each([
    ['--seed', '0'],
    ['--seed', 'x'],
    ['--seed', '7,'],
    ['--minutes', '0'],
    ['--minutes', '-1'],
    ['--minutes', '1441'],
    ['--rate', '201'],
    ['--faults', 'kil'],
    ['--faults', ''],
    ['--nothing', '1'],
    ['--only', 'event-id'],
    ['--mutations', '--only=nothing'],
  ])('refuses %s %j', (...args) => {
    expect(parse(...args)).toMatchObject({ kind: 'wrong', problem: expect.stringContaining('--help') });
  });

  test('takes all mutations, or those that are named', () => {
    const chosen = (...args: string[]) => {
      const parsed = parse('--mutations', ...args);
      return parsed.kind === 'run' ? parsed.arguments.mutations : [];
    };

    expect(chosen()).toEqual(mutations.map(({ name }) => name));
    expect(chosen('--only', 'event-id')).toEqual(['event-id']);
  });

  test('explains each fault', () => {
    expect(parse('--help')).toEqual({ kind: 'help' });
    for (const { name } of faults) expect(help()).toContain(name);
  });
});
