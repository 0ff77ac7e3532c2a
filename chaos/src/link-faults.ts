import { during, type Fault, type Injected, type Scene, unansweredFromNow } from './fault.ts';
import type { History } from './history.ts';
import { gatewayNames, type LinkName, linkNames, paymentsNames } from './system.ts';

/** Faults of the ways between the processes. */
export const linkFaults: readonly Fault[] = [
  ...linkGroups().flatMap(({ group, targets }): Fault[] => [
    {
      name: `cut-${group}`,
      what: 'connections broken, none taken for up to 4 s',
      targets,
      trace: 'connections',
      inject: (target, scene) => cut(target as LinkName, scene),
    },
    {
      name: `black-hole-${group}`,
      what: 'nothing passes for up to 9 s; then it comes late, or never',
      targets,
      trace: 'bytes held',
      inject: (target, scene) => blackHole(target as LinkName, scene),
    },
    {
      name: `slices-${group}`,
      what: 'one byte at a time for 3 s',
      targets,
      trace: 'bytes',
      inject: (target, scene) => spoil(target as LinkName, 'slices', 3_000, scene),
    },
    {
      name: `latency-${group}`,
      what: '300 ms more each way for 4 s',
      targets,
      trace: 'bytes',
      inject: (target, scene) => spoil(target as LinkName, 'latency', 4_000, scene),
    },
  ]),
  {
    name: 'lost-publish-ack',
    what: "the broker's words to a gateway are swallowed, then the connection breaks",
    targets: gatewayNames.map((name) => `${name}-broker`),
    trace: 'stored, and its sender never told so but as a duplicate',
    inject: (target, scene) => lose(target as LinkName, 'swallow-to-client', scene),
  },
  {
    name: 'lost-consumer-ack',
    what: 'acknowledgements of a payment-service are swallowed, then the connection breaks',
    targets: paymentsNames.map((name) => `${name}-broker`),
    trace: 'handed out again and recognised',
    inject: (target, scene) => lose(target as LinkName, 'swallow-to-server', scene),
  },
];

function linkGroups() {
  const links = (pattern: RegExp) => linkNames.filter((name) => pattern.test(name));
  return [
    { group: 'sender', targets: links(/^sender-/) },
    { group: 'gateway-broker', targets: links(/^gateway-.*-broker$/) },
    { group: 'payments-broker', targets: links(/^payments-.*-broker$/) },
    { group: 'payments-database', targets: links(/-database$/) },
  ];
}

/** Who is unreachable, or cannot reach the broker, while nothing passes on this link. */
function markDead(link: LinkName, scene: Scene): () => void {
  const gateway = gatewayNames.find((name) => link.includes(name));
  if (gateway === undefined) return () => undefined;
  return scene.mark(link.startsWith('sender-') ? 'gateway-away' : 'broker-away', [gateway]);
}

async function cut(target: LinkName, scene: Scene): Promise<Injected> {
  const link = scene.system.links[target];
  const before = link.spoilt();
  const unanswered = unansweredFromNow(scene, target.startsWith('sender-') ? gatewayNames : []);
  // A request that is under way when the sender's own line breaks is not the gateway's fault.
  const endSender = target.startsWith('sender-') ? markDead(target, scene) : () => undefined;
  await link.cut();
  const end = target.startsWith('sender-') ? endSender : markDead(target, scene);
  await during(scene, scene.random.int(500, 4_000), () => {
    if (!target.startsWith('sender-')) end();
    return link.restore();
  });
  endSender();
  return { when: 'healed', count: () => link.spoilt() - before + unanswered() };
}

async function blackHole(target: LinkName, scene: Scene): Promise<Injected> {
  const link = scene.system.links[target];
  const before = link.spoilt();
  link.set('black-hole');
  const end = markDead(target, scene);
  const isLost = scene.random.chance(0.5);
  await during(scene, scene.random.int(2_000, 9_000), async () => {
    end();
    if (isLost) await link.cut();
    link.set('fair');
    if (isLost) await link.restore();
  });
  return { when: 'healed', count: () => link.spoilt() - before };
}

async function spoil(
  target: LinkName,
  weather: 'slices' | 'latency',
  ms: number,
  scene: Scene,
): Promise<Injected> {
  const link = scene.system.links[target];
  const before = link.spoilt();
  link.set(weather);
  await during(scene, ms, () => link.set('fair'));
  return { when: 'healed', count: () => link.spoilt() - before };
}

async function lose(
  target: LinkName,
  weather: 'swallow-to-server' | 'swallow-to-client',
  scene: Scene,
): Promise<Injected> {
  const { system, observer, random } = scene;
  const link = system.links[target];
  const recognisedBefore = observer.count('recognised');
  link.set(weather);
  const end = markDead(target, scene);
  await during(scene, random.int(300, 900), async () => {
    // The stream of bytes has a hole now: it must not go on behind it.
    await link.cut();
    link.set('fair');
    end();
    await link.restore();
  });
  return weather === 'swallow-to-client'
    ? { when: 'end', count: storedUnheard }
    : { when: 'end', count: () => observer.count('recognised') - recognisedBefore };
}

/** Webhooks whose first 200 says "duplicate": it was stored by a request that was not answered so. */
function storedUnheard({ attempts }: History): number {
  const first = new Map<string, boolean>();
  for (const { label, answer } of attempts) {
    if (answer.kind === 'stored') first.set(label, (first.get(label) ?? true) && answer.duplicate);
  }
  return [...first.values()].filter((duplicateOnly) => duplicateOnly).length;
}
