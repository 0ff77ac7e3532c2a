// What takes longest begins first, so that nothing long is left when the short ones are through. From its second run on jest
// knows how long each file takes; in the first one, as on a clean checkout, it can only tell by their sizes.
import { createRequire } from 'node:module';

// What an import of it gives depends on how jest loads this file.
const { default: TestSequencer } = createRequire(import.meta.url)('@jest/test-sequencer');

/** Half a minute and more: most of it spent waiting for processes, time limits and ack waits. */
const long = [
  'test/chaos.faults.test.ts',
  'test/cluster.faults.test.ts',
  'test/outages.int.test.ts',
  'test/bench.int.test.ts',
  'local/src/start.int.test.ts',
  'test/replay-crash.int.test.ts',
  'test/metrics-outages.int.test.ts',
  'test/suspects.int.test.ts',
  'test/traces.int.test.ts',
  'nats/src/holding.int.test.ts',
  'nats/src/provision-command.int.test.ts',
  'payment-service/src/store-mongo-outage.int.test.ts',
];

export default class LongestFirst extends TestSequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    const isFirst = ({ path, duration }) =>
      duration === undefined && long.some((name) => path.endsWith(name));
    return [...sorted.filter(isFirst), ...sorted.filter((one) => !isFirst(one))];
  }
}
