// Beside the tests of the rhythm, at the lowest priority: what leaves the machine to them.
import base from './jest.config.js';

/** Those that mostly wait, for ack waits and growing pauses; the longest (two minutes) first. */
export const waiting = [
  'test/outages.int.test.ts',
  'test/suspects.int.test.ts',
  'payment-service/src/store-mongo-outage.int.test.ts',
  'nats/src/holding.int.test.ts',
  'payment-service/src/consumer-outage.int.test.ts',
  'third-party-gateway/src/broker-outage.int.test.ts',
];

export default {
  ...base,
  // The unit tests have no other word before `.test.ts`.
  testMatch: ['**/+([^.]).test.ts', ...waiting.map((file) => `**/${file}`)],
};
