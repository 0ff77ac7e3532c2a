// What takes longest begins first, so that nothing long is left when the short ones are through. Jest knows how long a file took
// after a first run, and on a clean checkout only how large it is; and what it does not know yet it puts before what it knows.
import { existsSync } from 'node:fs';
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

for (const name of long) {
  if (!existsSync(new URL(`../${name}`, import.meta.url)))
    throw new Error(`test/longest-first.js: ${name} is not there`);
}

export default class LongestFirst extends TestSequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    const isFirst = ({ path }) => long.some((name) => path.endsWith(name));
    return [...sorted.filter(isFirst), ...sorted.filter((one) => !isFirst(one))];
  }
}
