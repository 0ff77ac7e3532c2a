import { during, type Fault, type Injected, type Scene, unansweredFromNow } from './fault.ts';
import { gatewayNames, type LinkName, type MemberName, paymentsNames } from './system.ts';

const pauseMs = 10_000;
const awayMs = { from: 200, to: 2_500 };

/** Faults of whole processes: killed, standing still, asked to end. */
export const processFaults: readonly Fault[] = [
  ...groups().flatMap(({ group, targets, killTrace, pauseTrace }): Fault[] => [
    {
      name: `kill-${group}`,
      what: `kill -9, and a new start up to ${awayMs.to / 1_000} s later`,
      targets,
      trace: killTrace,
      inject: (target, scene) => kill(target as MemberName, scene),
    },
    {
      name: `pause-${group}`,
      what: `SIGSTOP for ${pauseMs / 1_000} s`,
      targets,
      trace: pauseTrace,
      inject: (target, scene) => pause(target as MemberName, scene),
    },
  ]),
  {
    name: 'stop-gateway',
    what: 'SIGTERM under load, and a new start',
    targets: gatewayNames,
    trace: 'clean ends',
    inject: (target, scene) => stop(target as MemberName, scene),
  },
  {
    name: 'stop-payments',
    what: 'SIGTERM under load, and a new start',
    targets: paymentsNames,
    trace: 'clean ends',
    inject: (target, scene) => stop(target as MemberName, scene),
  },
];

function groups() {
  const unanswered = 'requests without 200';
  return [
    { group: 'gateway', targets: gatewayNames, killTrace: unanswered, pauseTrace: unanswered },
    { group: 'payments', targets: paymentsNames, killTrace: 'redeliveries', pauseTrace: 'late events' },
    { group: 'broker', targets: ['broker'], killTrace: unanswered, pauseTrace: unanswered },
    {
      group: 'database',
      targets: ['database'],
      killTrace: 'database seen away, late events',
      pauseTrace: 'database seen away, late events',
    },
  ];
}

async function kill(target: MemberName, scene: Scene): Promise<Injected> {
  const { system, random } = scene;
  const injected = tracesFromNow(target, scene, 'kill');
  if (isPayments(target)) {
    // A slow database first, so that it dies with work in hand: before the read, the write, or the acknowledgement.
    const link = system.links[`${target}-database` as LinkName];
    link.set('latency');
    await during(scene, random.int(400, 1_500), () => system.members[target].kill());
    link.set('fair');
  }
  const ends = [scene.mark('gateway-away', isGateway(target) ? [target] : [])];
  await system.members[target].kill();
  if (target === 'broker') ends.push(scene.mark('broker-away', gatewayNames));
  const endBroker = ends.at(-1);
  await during(scene, random.int(awayMs.from, awayMs.to), async () => {
    // Before it is back, not when its start is over.
    if (target === 'broker') endBroker?.();
    await system.members[target].start();
  });
  ends[0]?.();
  return injected;
}

async function pause(target: MemberName, scene: Scene): Promise<Injected> {
  const member = scene.system.members[target];
  const injected = tracesFromNow(target, scene, 'pause');
  const endAway = scene.mark('gateway-away', isGateway(target) ? [target] : []);
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
  const gateways = isGateway(target) ? [target] : [];
  const end = scene.mark('gateway-stopping', gateways);
  const how = await member.stop();
  scene.stopped(how);
  await during(scene, scene.random.int(awayMs.from, awayMs.to), () => member.start());
  end();
  return { when: 'healed', count: () => (how.code === 0 ? 1 : 0) };
}

/** What shows that this process was away from now on. */
function tracesFromNow(target: MemberName, scene: Scene, how: 'kill' | 'pause'): Injected {
  const isKill = how === 'kill';
  const { observer } = scene;
  if (isGateway(target)) return { when: 'healed', count: unansweredFromNow(scene, [target]) };
  if (target === 'broker') return { when: 'healed', count: unansweredFromNow(scene, gatewayNames) };
  const seen = () => {
    if (isPayments(target))
      return observer.count(isKill ? 'redelivered' : 'late', isKill ? undefined : target);
    return observer.count('database-away') + observer.count('given-back') + observer.count('late');
  };
  const before = seen();
  return { when: 'end', count: () => seen() - before };
}

const isGateway = (name: MemberName) => gatewayNames.some((gateway) => gateway === name);
const isPayments = (name: MemberName) => paymentsNames.some((payments) => payments === name);
