// The tests that assert when something happens, to the millisecond: one after the other, with at most those of jest.beside.config.js beside them. Two at a
// time are as exact on a quiet machine and save a minute; on a busy one every fourth needed a second attempt.
import base from './jest.config.js';

export default {
  ...base,
  testMatch: ['**/*.rhythm.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  maxWorkers: 1,
};
