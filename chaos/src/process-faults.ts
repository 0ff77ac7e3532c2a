import { during, type Fault, type Injected, type Scene, troubledFromNow } from './fault.ts';
import type { Trace } from './observer.ts';
import { gatewayNames, type MemberName, paymentsNames } from './system.ts';

const pauseMs = 10_000;
const awayMs = { from: 200, to: 2_500 };

/** What shows that a process was away: in words, and how it is counted from now on. */
interface Shown {
  trace: string;
  fromNow: (target: MemberName, scene: Scene) => Injected;
}

const troubled: Shown = {
  trace: 'requests without a 200 at once',
  fromNow: (target, scene) => {
    const gateways = target === 'broker' ? gatewayNames : [target];
    return { when: 'healed', count: troubledFromNow(scene, gateways) };
  },
};

/** Counted until the end of the run: what a dead process held comes again only after the ack wait. */
const inLogs = (trace: string, ...traces: readonly Trace[]): Shown => ({
  trace,
  fromNow: (_target, { observer }) => {
    const seen = () => traces.reduce((sum, one) => sum + observer.count(one), 0);
    const before = seen();
    return { when: 'end', count: () => seen() - before };
  },
});

const databaseMissed = inLogs('seen away, given back, late', 'database-away', 'given-back', 'late');

interface Group {
  group: string;
  targets: readonly MemberName[];
  killed: Shown;
  paused: Shown;
}

const groups: readonly Group[] = [
  { group: 'gateway', targets: gatewayNames, killed: troubled, paused: troubled },
  {
    group: 'payments',
    targets: paymentsNames,
    killed: inLogs('redeliveries', 'redelivered'),
    paused: inLogs('late events', 'late'),
  },
  { group: 'broker', targets: ['broker'], killed: troubled, paused: troubled },
  { group: 'database', targets: ['database'], killed: databaseMissed, paused: databaseMissed },
];

/** Faults of whole processes: killed, standing still, asked to end. */
export const processFaults: readonly Fault[] = groups.flatMap(({ group, targets, killed, paused }) => {
  const forProcess = (inject: (target: MemberName, scene: Scene) => Promise<Injected>): Fault['inject'] => {
    const byName = new Map<string, MemberName>(targets.map((target) => [target, target]));
    return (name, scene) => {
      const target = byName.get(name);
      if (target === undefined) throw new RangeError(`there is no process ${name}`);
      return inject(target, scene);
    };
  };
  const all: Fault[] = [
    {
      name: `kill-${group}`,
      what: `kill -9, and a new start up to ${awayMs.to / 1_000} s later`,
      targets,
      trace: killed.trace,
      inject: forProcess((target, scene) => kill(target, scene, killed)),
    },
    {
      name: `pause-${group}`,
      what: `SIGSTOP for ${pauseMs / 1_000} s`,
      targets,
      trace: paused.trace,
      inject: forProcess((target, scene) => pause(target, scene, paused)),
    },
  ];
  const isService = group === 'gateway' || group === 'payments';
  if (isService) {
    all.push({
      name: `stop-${group}`,
      what: 'SIGTERM under load, and a new start',
      targets,
      trace: 'clean ends',
      inject: forProcess(stop),
    });
  }
  return all;
});

async function kill(target: MemberName, scene: Scene, shown: Shown): Promise<Injected> {
  const { system, random } = scene;
  const member = system.members[target];
  const injected = shown.fromNow(target, scene);
  const database =
    target === 'payments-1' || target === 'payments-2' ? system.links[`${target}-database`] : undefined;
  // A slow database first, so that it dies with work in hand: before the read, the write, or the acknowledgement.
  database?.set('latency');
  if (database !== undefined) await during(scene, random.int(400, 1_500), () => database.set('fair'));
  const endAway = scene.mark('gateway-away', gatewayIn(target));
  await member.kill();
  const endBroker = scene.mark('broker-away', target === 'broker' ? gatewayNames : []);
  await during(scene, random.int(awayMs.from, awayMs.to), async () => {
    // It can be back long before its start is over.
    endBroker();
    await member.start();
  });
  endAway();
  return injected;
}

async function pause(target: MemberName, scene: Scene, shown: Shown): Promise<Injected> {
  const member = scene.system.members[target];
  const injected = shown.fromNow(target, scene);
  const endAway = scene.mark('gateway-away', gatewayIn(target));
  member.pause();
  const endBroker = scene.mark('broker-away', target === 'broker' ? gatewayNames : []);
  await during(scene, pauseMs, () => {
    endBroker();
    member.resume();
  });
  endAway();
  return injected;
}

async function stop(target: MemberName, scene: Scene): Promise<Injected> {
  const member = scene.system.members[target];
  const end = scene.mark('gateway-stopping', gatewayIn(target));
  const how = await member.stop();
  scene.stopped(how);
  await during(scene, scene.random.int(awayMs.from, awayMs.to), () => member.start());
  end();
  return { when: 'healed', count: () => (how.code === 0 ? 1 : 0) };
}

const gatewayIn = (target: MemberName) => gatewayNames.filter((name) => name === target);
