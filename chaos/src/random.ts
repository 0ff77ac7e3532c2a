import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Chance that comes again: the same seed gives the same choices in the same order. */
export interface Random {
  /** Both ends included. */
  int(from: number, to: number): number;
  /** True this often. */
  chance(share: number): boolean;
  pick<T>(items: readonly [T, ...T[]]): T;
  shuffle<T>(items: readonly T[]): T[];
  uuid(): string;
}

/** Each stream of a seed is independent of the others: what the load chooses does not move what the faults choose. */
export function createRandom(seed: number, stream: number): Random {
  const generator = xoroshiro128plus(seed);
  for (let jump = 0; jump < stream; jump += 1) generator.jump();
  const int = (from: number, to: number) => uniformInt(generator, from, to);
  return {
    int,
    chance: (share) => int(1, 1_000_000) <= share * 1_000_000,
    pick: (items) => items[int(0, items.length - 1)] ?? items[0],
    shuffle: (items) =>
      items
        .map((item) => ({ item, place: int(0, 0x7fffffff) }))
        .sort((left, right) => left.place - right.place)
        .map(({ item }) => item),
    uuid: () => {
      const hex = Array.from({ length: 32 }, () => int(0, 15).toString(16)).join('');
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
    },
  };
}
