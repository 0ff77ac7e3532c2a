import type { Fault } from './fault.ts';
import type { Random } from './random.ts';

export interface Planned {
  fault: Fault;
  target: string;
  /** After the one before it in the same episode. */
  afterMs: number;
  /** For what the fault itself chooses. */
  seed: number;
}

/** Faults at the same time; the next episode begins when the system has healed. */
export type Episode = readonly [Planned, ...Planned[]];

const pairShare = 0.4;
const afterMaxMs = 2_000;

/**
 * All of the faults, in another order each round. In the first round each comes alone, so that whatever breaks has one
 * reason; from then on some come in pairs. The same seed gives the same episodes.
 */
export function* createSchedule(faults: readonly Fault[], random: Random): Generator<Episode, never> {
  const turns = new Map<Fault, number>(
    faults.map((fault) => [fault, random.int(0, fault.targets.length - 1)]),
  );
  const plan = (fault: Fault, afterMs: number): Planned => {
    const target = fault.targets[(turns.get(fault) ?? 0) % fault.targets.length] ?? '';
    return { fault, target, afterMs, seed: random.int(1, 0x7fffffff) };
  };
  const take = (planned: Planned): Planned => {
    turns.set(planned.fault, (turns.get(planned.fault) ?? 0) + 1);
    return planned;
  };
  for (let round = 1; ; round += 1) {
    for (const fault of random.shuffle(faults)) {
      const first = take(plan(fault, 0));
      const [other = fault] = random.shuffle(faults);
      const second = plan(other, random.int(0, afterMaxMs));
      const isPair = round > 1 && random.chance(pairShare) && !collide(first, second);
      yield isPair ? [first, take(second)] : [first];
    }
  }
}

/** One service is broken in one way at a time: who stands still cannot be killed, and a link cannot be spoilt twice. */
function collide(left: Planned, right: Planned): boolean {
  return brokenBy(left) === brokenBy(right);
}

const brokenBy = ({ target }: Planned) => /(gateway|payments)-\d/.exec(target)?.[0] ?? target;
