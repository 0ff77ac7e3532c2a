import { describe, expect, test } from '@jest/globals';
import { parseArguments } from './arguments.ts';

describe('the command line of the benches', () => {
  test('runs a bench at its full size unless told otherwise', () => {
    expect(parseArguments(['replay'])).toEqual({
      kind: 'run',
      arguments: { names: ['replay'], size: 'full', only: undefined, writeDocs: false },
    });
  });

  test('takes a size, a choice and the wish for documents', () => {
    expect(parseArguments(['replay', '--size', '200', '--only', 'ours-1,ours-4', '--write-docs'])).toEqual({
      kind: 'run',
      arguments: { names: ['replay'], size: 200, only: ['ours-1', 'ours-4'], writeDocs: true },
    });
  });

  test('runs all of them when none is named', () => {
    expect(parseArguments(['--size', 'small'])).toMatchObject({
      kind: 'run',
      arguments: {
        names: ['intake', 'apply', 'flow', 'growth', 'footprint', 'replay', 'backlog'],
        size: 'small',
      },
    });
  });

  test('runs several in their own order, each once', () => {
    expect(parseArguments(['flow', 'intake', 'flow'])).toMatchObject({
      kind: 'run',
      arguments: { names: ['intake', 'flow'], size: 'full' },
    });
  });

  test('gives help wherever it is asked for', () => {
    expect(parseArguments(['--help'])).toEqual({ kind: 'help' });
    expect(parseArguments(['replay', '-h'])).toEqual({ kind: 'help' });
  });

  test.each([
    [['--size', '20'], '--size must be small or full'],
    [['replays'], 'there is no bench replays'],
    [['replay', 'backlog', '--size', '200'], '--size must be small or full'],
    [['replay', '--size', '5001'], '--size must be small, full or a number from 20 to 5000'],
    [['backlog', '--size', 'huge'], '--size must be small, full or a number from 20 to 200000'],
    [['replay', '--speed', '4'], '--speed'],
  ])('refuses %j and says why', (args, problem) => {
    expect(parseArguments(args)).toEqual({ kind: 'wrong', problem: expect.stringContaining(problem) });
  });
});
