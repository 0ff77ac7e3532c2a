/** Amounts are safe integers in minor units, 0 or more; a sum that leaves that range stays at its end and says so. */
export function sumMinor(amounts: Iterable<number>): { totalMinor: number; exact: boolean } {
  let totalMinor = 0;
  for (const amount of amounts) {
    totalMinor += amount;
    // Of two safe integers the sum may be rounded, but never back into the range.
    if (totalMinor > Number.MAX_SAFE_INTEGER) return { totalMinor: Number.MAX_SAFE_INTEGER, exact: false };
  }
  return { totalMinor, exact: true };
}
