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
  // For test/global-setup.js.
  globals: { dataInMemory: true },
  globalSetup: './test/global-setup.js',
  globalTeardown: './test/global-teardown.js',
  testSequencer: './test/order-of-files.js',
  // The order of the files has one of them wait at nearly any time. With four, both cores were busy for 95 % of the time: it took as
  // long, and tests failed.
  maxWorkers: 3,
  testTimeout: 60_000,
};
