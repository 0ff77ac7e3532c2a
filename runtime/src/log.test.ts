import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import { logOptions } from './log.ts';

test('the log tells of an error its words, code, stack and causes, and nothing that hangs on it', () => {
  const lines: string[] = [];
  const log = pino(logOptions, { write: (line) => void lines.push(line) });
  const cause = Object.assign(new Error('the server said no'), { op: { note: 'private' } });
  const error = Object.assign(new Error('not written', { cause }), {
    code: 121,
    writeErrors: [{ op: { note: 'private' } }],
    result: { note: 'private' },
  });

  log.error({ err: error }, 'failed');
  log.error({ err: 'not even an error' }, 'failed');

  const [first, second] = lines.map((line) => JSON.parse(line).err);
  expect(first).toEqual({
    type: 'Error',
    message: expect.stringContaining('not written'),
    stack: expect.stringMatching(/log\.test\.ts[\s\S]*the server said no/),
    code: 121,
  });
  expect(second).toBe('not even an error');
  expect(lines.join()).not.toContain('private');
});
