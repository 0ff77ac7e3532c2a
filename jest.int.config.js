// The tests with real servers and processes, but those that run beside others.
import { waiting } from './jest.beside.config.js';
import base from './jest.config.js';

export default {
  ...base,
  testMatch: ['**/*.int.test.ts'],
  testPathIgnorePatterns: [...base.testPathIgnorePatterns, ...waiting],
};
