import { expect, test } from '@jest/globals';
import { createLog } from './log.ts';

test('the log tells of an error its words, code, stack and causes, and nothing that hangs on it', () => {
  const lines: string[] = [];
  const log = createLog({ name: 'a', level: 'info' }, { write: (line) => lines.push(line) });
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

test('what a driver puts into an error is not told where it is a secret', () => {
  const lines: string[] = [];
  const log = createLog({ name: 'a', level: 'info' }, { write: (line) => lines.push(line) });
  const error = Object.assign(new Error('refused'), {
    password: 's3cret',
    pass: 's3cret',
    authorization: 's3cret',
  });

  log.error({ err: error }, 'service.failed');
  log.fatal(error);

  expect(lines).toHaveLength(2);
  expect(lines.join()).toContain('refused');
  expect(lines.join()).not.toContain('s3cret');
});
