import { quantile } from '@paystream/local';

/** What the rounds of one thing gave. */
export interface Spread {
  min: number;
  median: number;
  max: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return { min: Math.min(...values), median: quantile(values, 0.5), max: Math.max(...values) };
}

/** `3,120 (2,900 to 3,300)`: the median, and between which values the rounds lie. */
export function spreadText({ min, median, max }: Spread): string {
  return `${numberText(median)} (${numberText(min)} to ${numberText(max)})`;
}

/** Few digits: no more than the rounds agree on. */
export function numberText(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return String(Math.round(value * 100) / 100);
}

/** Two digits, never up: what has missed its goal must not look as if it had reached it. */
export function ratioText(value: number): string {
  return (Math.floor(value * 100) / 100).toFixed(2);
}

/**
 * Each thing once, then each once more, and so on: whatever else the machine does meanwhile falls on all of them. Gives
 * the rounds of each, in the order of the things.
 */
export async function inRounds<Thing, Result>(
  things: readonly Thing[],
  rounds: number,
  run: (thing: Thing, round: number) => Promise<Result>,
): Promise<Result[][]> {
  const results: Result[][] = things.map(() => []);
  for (let round = 1; round <= rounds; round += 1) {
    for (const [index, thing] of things.entries()) results[index]?.push(await run(thing, round));
  }
  return results;
}
