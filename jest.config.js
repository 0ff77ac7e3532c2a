// swc strips the types; `npm run check` is what type-checks the tests (tsconfig.test.json).
const transform = {
  '\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }],
};

export default {
  testEnvironment: 'node',
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/', '\\.(rhythm|flood|faults)\\.test\\.ts$'],
  setupFilesAfterEnv: ['./test/second-attempt.js'],
  extensionsToTreatAsEsm: ['.ts'],
  transform,
  testEnvironmentOptions: { customExportConditions: ['@paystream/source', 'node', 'node-addons'] },
  globalSetup: './test/global-setup.js',
  globalTeardown: './test/global-teardown.js',
  testSequencer: './test/longest-first.js',
  // Most of them wait for a broker, a database or a time limit: with two at a time two cores were busy for half of the time.
  // With four, more tests needed a second attempt.
  maxWorkers: 3,
  testTimeout: 60_000,
};
