import { expect, test } from '@jest/globals';
import { createLog } from './log.ts';

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
