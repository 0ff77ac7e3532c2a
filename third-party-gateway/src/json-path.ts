import { objectOf } from './adapters/candidate.ts';

type Step = string | number;

const stepPattern = /\.([A-Za-z_][A-Za-z0-9_-]*)|\[(0|[1-9]\d{0,3})\]|\['([^'\\]{1,100})'\]/y;
const stepsMax = 20;

/** The steps of a path to one value, such as `$.data.items[0]['order id']` (RFC 9535, singular), or undefined. */
export function parseJsonPath(path: string): readonly Step[] | undefined {
  if (!path.startsWith('$')) return undefined;
  const steps: Step[] = [];
  stepPattern.lastIndex = 1;
  while (stepPattern.lastIndex < path.length) {
    const found = stepPattern.exec(path);
    if (found === null || steps.length >= stepsMax) return undefined;
    const [, name, index, quoted] = found;
    steps.push(index === undefined ? (name ?? quoted ?? '') : Number(index));
  }
  return steps;
}

/** What stands there, or undefined. Follows own properties only. */
export function followJsonPath(value: unknown, steps: readonly Step[]): unknown {
  let at = value;
  for (const step of steps) {
    if (typeof step === 'number') at = Array.isArray(at) ? at[step] : undefined;
    else at = Object.hasOwn(objectOf(at), step) ? objectOf(at)[step] : undefined;
  }
  return at;
}
