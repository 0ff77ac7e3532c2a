// The tests with real servers and processes.
import base from './jest.config.js';

export default { ...base, testMatch: ['**/*.int.test.ts'] };
