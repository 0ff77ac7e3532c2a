// The tests that assert when something happens, to the millisecond. They wait more than they work: two at a time were as exact
// as one alone (the worst of 1,800 gaps off by 48 ms), and nothing else is beside them.
import base from './jest.config.js';

export default {
  ...base,
  testMatch: ['**/*.rhythm.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  maxWorkers: 2,
};
