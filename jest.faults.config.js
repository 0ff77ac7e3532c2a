// The tests that break whole systems on purpose, minutes long: apart from the others, whose processes they would starve.
import base from './jest.config.js';

export default {
  ...base,
  testMatch: ['**/*.faults.test.ts'],
  // On a disk as in production: they are the proof.
  globals: { dataInMemory: false },
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  maxWorkers: 2,
};
