// Tests with real processes meet real machines: one that stands still for a second fails a test that is right. Such a
// test is tried again, its failure is printed all the same, and `.ci/counts.js` names it in its report.
import { expect, jest } from '@jest/globals';

const attempts = [
  [/\.int\.test\.ts$/, 1],
  [/\.(rhythm|flood)\.test\.ts$/, 2],
];
const { testPath = '' } = expect.getState();
const [, more] = attempts.find(([files]) => files.test(testPath)) ?? [];
if (more !== undefined) jest.retryTimes(more, { logErrorsBeforeRetry: true });
