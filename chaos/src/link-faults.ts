import { during, type Fault, type Injected, type Scene, troubledFromNow } from './fault.ts';
import type { History } from './history.ts';
import { gatewayNames, type LinkName, linkNames, paymentsNames } from './system.ts';

const groups = [
  { group: 'sender', pattern: /^sender-/ },
  { group: 'gateway-broker', pattern: /^gateway-.*-broker$/ },
  { group: 'payments-broker', pattern: /^payments-.*-broker$/ },
  { group: 'payments-database', pattern: /-database$/ },
];

/** Faults of the ways between the processes. */
export const linkFaults: readonly Fault[] = [
  ...groups.flatMap(({ group, pattern }): Fault[] => {
    const targets = linkNames.filter((name) => pattern.test(name));
    return [
      {
        name: `cut-${group}`,
        what: 'connections broken, none taken for up to 4 s',
        targets,
        trace: 'connections broken',
        inject: forLink(cut),
      },
      {
        name: `black-hole-${group}`,
        what: 'nothing passes for up to 9 s; then it comes late, or never',
        targets,
        trace: 'bytes held',
        inject: forLink(blackHole),
      },
      {
        name: `slices-${group}`,
        what: 'one byte at a time for 3 s',
        targets,
        trace: 'bytes',
        inject: forLink((target, scene) => spoil(target, scene, 'slices', 3_000)),
      },
      {
        name: `latency-${group}`,
        what: '300 ms more each way for 4 s',
        targets,
        trace: 'bytes',
        inject: forLink((target, scene) => spoil(target, scene, 'latency', 4_000)),
      },
    ];
  }),
  {
    name: 'lost-publish-ack',
    what: "the broker's words to a gateway are swallowed, then the connection breaks",
    targets: gatewayNames.map((name) => `${name}-broker`),
    trace: 'stored, and told only as duplicates',
    inject: forLink((target, scene) => lose(target, scene, 'swallow-to-client')),
  },
  {
    name: 'lost-consumer-ack',
    what: 'acknowledgements of a payment-service are swallowed, then the connection breaks',
    targets: paymentsNames.map((name) => `${name}-broker`),
    trace: 'handed out again and recognised',
    inject: forLink((target, scene) => lose(target, scene, 'swallow-to-server')),
  },
];

function forLink(inject: (target: LinkName, scene: Scene) => Promise<Injected>): Fault['inject'] {
  return (name, scene) => {
    const target = linkNames.find((link) => link === name);
    if (target === undefined) throw new RangeError(`there is no link ${name}`);
    return inject(target, scene);
  };
}

/** Who cannot be reached, or cannot reach the broker, while nothing passes on this link. */
function markDead(link: LinkName, scene: Scene): () => void {
  const gateway = gatewayNames.filter((name) => link.includes(name));
  return scene.mark(link.startsWith('sender-') ? 'gateway-away' : 'broker-away', gateway);
}

async function cut(target: LinkName, scene: Scene): Promise<Injected> {
  const link = scene.system.links[target];
  const before = link.spoilt();
  const isSender = target.startsWith('sender-');
  const troubled = troubledFromNow(scene, isSender ? gatewayNames : []);
  // A request that was under way when the sender's own line broke is not the gateway's fault; but what was under way
  // to the broker may have been acknowledged before.
  const endAway = isSender ? markDead(target, scene) : () => undefined;
  await link.cut();
  const endDead = isSender ? () => undefined : markDead(target, scene);
  await during(scene, scene.random.int(500, 4_000), () => {
    endDead();
    return link.restore();
  });
  endAway();
  return { when: 'healed', count: () => link.spoilt() - before + troubled() };
}

async function blackHole(target: LinkName, scene: Scene): Promise<Injected> {
  const link = scene.system.links[target];
  const before = link.spoilt();
  link.set('black-hole');
  const endDead = markDead(target, scene);
  const isLost = scene.random.chance(0.5);
  await during(scene, scene.random.int(2_000, 9_000), async () => {
    endDead();
    if (isLost) await link.cut();
    link.set('fair');
    if (isLost) await link.restore();
  });
  return { when: 'healed', count: () => link.spoilt() - before };
}

async function spoil(
  target: LinkName,
  scene: Scene,
  weather: 'slices' | 'latency',
  ms: number,
): Promise<Injected> {
  const link = scene.system.links[target];
  const before = link.spoilt();
  link.set(weather);
  await during(scene, ms, () => link.set('fair'));
  return { when: 'healed', count: () => link.spoilt() - before };
}

async function lose(
  target: LinkName,
  scene: Scene,
  weather: 'swallow-to-server' | 'swallow-to-client',
): Promise<Injected> {
  const { system, observer, random } = scene;
  const link = system.links[target];
  const before = observer.count('recognised');
  const fromMs = performance.now();
  link.set(weather);
  const endDead = weather === 'swallow-to-client' ? markDead(target, scene) : () => undefined;
  await during(scene, random.int(300, 900), async () => {
    // The stream of bytes has a hole now: it must not go on behind it.
    await link.cut();
    link.set('fair');
    endDead();
    await link.restore();
  });
  const toMs = performance.now();
  return weather === 'swallow-to-client'
    ? { when: 'end', count: (history) => storedUnheard(history, fromMs, toMs) }
    : { when: 'end', count: () => observer.count('recognised') - before };
}

/** Webhooks that were under way in that time without a 200, and whose every 200 says "duplicate": that one had stored them. */
function storedUnheard({ attempts }: History, fromMs: number, toMs: number): number {
  const unheard = new Set(
    attempts
      .filter(
        ({ answer, sentAtMs, endedAtMs }) =>
          answer.kind !== 'stored' && endedAtMs >= fromMs && sentAtMs <= toMs,
      )
      .map(({ label }) => label),
  );
  const told = new Set(
    attempts.filter(({ answer }) => answer.kind === 'stored' && !answer.duplicate).map(({ label }) => label),
  );
  const known = new Set(attempts.filter(({ answer }) => answer.kind === 'stored').map(({ label }) => label));
  return [...unheard].filter((label) => known.has(label) && !told.has(label)).length;
}
