// The tests that assert when something happens, to the millisecond: one after the other, with nothing beside them.
import base from './jest.config.js';

export default {
  ...base,
  testMatch: ['**/*.rhythm.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  maxWorkers: 1,
};
