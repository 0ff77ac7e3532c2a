import { fileURLToPath } from 'node:url';
import { during, type Fault, type Injected, type Scene, troubledFromNow } from './fault.ts';
import type { Webhook } from './history.ts';
import { gatewayNames } from './system.ts';

/** A minute of ordinary load in a moment. Measured: a gateway works it off in 2 to 4 s on two cores. */
const floodOf = 2_000;

/** Faults of what is stored, said, believed or asked too much. */
export const dataFaults: readonly Fault[] = [
  {
    name: 'broker-forgets',
    what: 'kill -9 of the broker, whose memory of consumed ids ends there; then old webhooks come again',
    targets: ['broker'],
    trace: 'stored a second time',
    inject: forget,
  },
  {
    name: 'database-errors',
    what: 'mongod fails reads and writes of the payment-services for up to 3 s (failCommand)',
    targets: ['database'],
    trace: 'commands failed',
    inject: failCommands,
  },
  {
    name: 'clock',
    what: 'the clock of a gateway jumps by an hour, forwards or back, for 6 s',
    targets: gatewayNames,
    trace: 'events received in another hour than stored',
    inject: shiftClock,
  },
  {
    name: 'poison',
    what: 'messages that nobody can read, published by hand among good ones',
    targets: ['broker'],
    trace: 'dead letters',
    inject: poison,
  },
  {
    name: 'flood',
    what: `${floodOf} webhooks at once to one gateway`,
    targets: gatewayNames,
    trace: 'requests without a 200 at once',
    inject: flood,
  },
];

const resentMax = 30;
/** Long enough to be applied, so that the broker has it no more. */
const oldAfterMs = 2_000;

async function forget(_target: string, scene: Scene): Promise<Injected> {
  const { system, sender, random } = scene;
  const before = performance.now() - oldAfterMs;
  const old = new Set(
    sender.attempts
      .filter(({ answer, endedAtMs }) => answer.kind === 'stored' && endedAtMs < before)
      .map(({ label }) => label),
  );
  const again = random.shuffle(sender.webhooks.filter(({ label }) => old.has(label))).slice(0, resentMax);
  await system.members.broker.kill();
  const end = scene.mark('broker-away', gatewayNames);
  await during(scene, random.int(200, 1_000), () => {
    end();
    return system.members.broker.start();
  });
  const answers = await Promise.all(again.map((webhook) => sender.send(webhook, random.int(0, 1))));
  const storedAgain = answers.filter(
    (done) => done?.answer.kind === 'stored' && !done.answer.duplicate,
  ).length;
  return { when: 'healed', count: () => storedAgain };
}

/** A server's error of each kind: not primary, shutting down, no majority in time, interrupted, unknown; or none at all. */
const failures: readonly [Record<string, unknown>, ...Record<string, unknown>[]] = [
  { errorCode: 10_107 },
  { errorCode: 91 },
  { errorCode: 11_602 },
  { errorCode: 8 },
  { closeConnection: true },
  { blockConnection: true, blockTimeMS: 1_500 },
  // The write is done, and whether it stays is not known.
  { writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } },
];

async function failCommands(_target: string, scene: Scene): Promise<Injected> {
  const { onlooker, random } = scene;
  const failure = random.pick(failures);
  const failCommands = 'writeConcernError' in failure ? ['insert', 'update'] : ['find', 'insert', 'update'];
  await onlooker.failCommands({ failCommands, appName: 'payment-service', ...failure });
  let failed = 0;
  await during(scene, random.int(1_000, 3_000), async () => {
    failed = await onlooker.endFailCommands();
  });
  return { when: 'healed', count: () => failed };
}

const shiftMs = 3_600_000;
/** Half of the shift: nothing waits that long between a gateway and the stream. */
const otherHourMs = shiftMs / 2;

async function shiftClock(target: string, scene: Scene): Promise<Injected> {
  const name = gatewayNames.find((gateway) => gateway === target) ?? gatewayNames[0];
  const member = scene.system.members[name];
  const preload = fileURLToPath(new URL('../src/shifted-clock.js', import.meta.url));
  const sign = scene.random.chance(0.5) ? 1 : -1;
  const env = { NODE_OPTIONS: `--import=${preload}`, CHAOS_CLOCK_SHIFT_MS: String(sign * shiftMs) };
  const end = scene.mark('gateway-stopping', [target]);
  scene.stopped(await member.stop());
  await member.start(env);
  end();
  await scene.hold(6_000);
  const endAgain = scene.mark('gateway-stopping', [target]);
  scene.stopped(await member.stop());
  await member.start();
  endAgain();
  return {
    when: 'end',
    count: ({ record }) =>
      record
        .flatMap(({ actionHistory }) => actionHistory)
        .filter(({ receivedAt, storedAt }) => Math.abs(receivedAt - storedAt) > otherHourMs).length,
  };
}

const poisonsOfOne = 6;

async function poison(_target: string, scene: Scene): Promise<Injected> {
  const labels = new Set<string>();
  for (let count = 0; count < poisonsOfOne; count += 1) {
    labels.add(await scene.onlooker.publishPoison(scene.random));
    await scene.hold(200);
  }
  return {
    when: 'end',
    count: ({ deadLetters }) => deadLetters.filter(({ label }) => labels.has(label)).length,
  };
}

async function flood(target: string, scene: Scene): Promise<Injected> {
  const { random, sender } = scene;
  const count = troubledFromNow(scene, [target]);
  const first = sender.webhooks.length;
  const webhooks = Array.from({ length: floodOf }, (_, index): Webhook => {
    // Above those of the load, which counts from 1; and floods do not overlap.
    const label = `w${500_000 + first + index}`;
    const amount = random.int(1, 1_000);
    return {
      label,
      txId: random.uuid(),
      action: 'NEW',
      amount,
      note: `${label} flood`,
      webhookId: undefined,
    };
  });
  const gateway = target === gatewayNames[0] ? 0 : 1;
  await Promise.all(webhooks.map((webhook) => sender.send(webhook, gateway)));
  return { when: 'healed', count };
}
