// The tests that send more than a machine can take: nothing beside them, since they take all of it.
import base from './jest.config.js';

export default {
  ...base,
  testMatch: ['**/*.flood.test.ts'],
  // On a disk as in production: what it can take is what is asserted.
  globals: { dataInMemory: false },
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  maxWorkers: 1,
};
