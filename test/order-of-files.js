// In which order the files of tests begin, three at a time on two cores. Some of them mostly wait, for ack waits, elections and
// growing pauses: those are spread among those that work, so that fewer work at one time. The unit tests come last, since
// hardly anything in them depends on how busy the machine is.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

// What an import of it gives depends on how jest loads this file.
const { default: TestSequencer } = createRequire(import.meta.url)('@jest/test-sequencer');

/** Those that wait a lot; jest.beside.config.js has those that hardly do anything else, of which one takes two minutes. */
const waiting = [
  'local/src/start.int.test.ts',
  'test/replay-crash.int.test.ts',
  'test/metrics-outages.int.test.ts',
  'payment-service/src/main.int.test.ts',
];
/** Those that work for twenty seconds and more, the longest first. */
const working = [
  'test/chaos.faults.test.ts',
  'test/cluster.faults.test.ts',
  'test/bench.int.test.ts',
  'test/traces.int.test.ts',
  'test/crash-points.int.test.ts',
  'test/mongo-tls.int.test.ts',
  'test/exactly-once.int.test.ts',
  'third-party-gateway/src/send/send.int.test.ts',
  'nats/src/set-aside.int.test.ts',
  'nats/src/subscription.int.test.ts',
  'nats/src/publisher-contract.int.test.ts',
];
/** So many that work begin after each one that waits: with the times of today both are through at about the same time. */
const worksForOneThatWaits = 8;

for (const name of [...waiting, ...working]) {
  if (!existsSync(new URL(`../${name}`, import.meta.url)))
    throw new Error(`test/order-of-files.js: ${name} is not there`);
}

export default class OrderOfFiles extends TestSequencer {
  /** What is named in the order of its list; else what jest knows: how long a file took, or how large it is. */
  sort(tests) {
    const sorted = super.sort(tests);
    const named = (names) => names.flatMap((name) => sorted.filter(({ path }) => path.endsWith(`/${name}`)));
    const waits = named(waiting);
    const first = named(working);
    const others = sorted.filter((test) => !waits.includes(test) && !first.includes(test));
    const works = [...first, ...others.filter((test) => !isUnit(test))];
    const mixed = waits.flatMap((one, index) => [
      one,
      ...works.slice(index * worksForOneThatWaits, (index + 1) * worksForOneThatWaits),
    ]);
    const left = works.slice(waits.length * worksForOneThatWaits);
    return [...mixed, ...left, ...others.filter(isUnit)];
  }
}

/** `fold.test.ts` and not `fold.int.test.ts`. */
const isUnit = ({ path }) => /\/[^/.]+\.test\.ts$/.test(path);
