// swc strips the types; `npm run check` is what type-checks the tests (tsconfig.test.json).
const transform = {
  '\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }],
};

export default {
  testEnvironment: 'node',
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/', '\\.(rhythm|faults)\\.test\\.ts$'],
  setupFilesAfterEnv: ['./test/second-attempt.js'],
  extensionsToTreatAsEsm: ['.ts'],
  transform,
  testEnvironmentOptions: { customExportConditions: ['@paystream/source', 'node', 'node-addons'] },
  globalSetup: './test/global-setup.js',
  globalTeardown: './test/global-teardown.js',
  // Two cores: one more worker only makes the timing of the process tests worse.
  maxWorkers: 2,
  testTimeout: 60_000,
};
