/** Amounts are safe integers in minor units; a sum that leaves that range stays at its end and says so. */
export function sumMinor(amounts: Iterable<number>): { totalMinor: number; exact: boolean } {
  let total = 0n;
  for (const amount of amounts) total += BigInt(amount);
  const max = BigInt(Number.MAX_SAFE_INTEGER);
  return total > max
    ? { totalMinor: Number.MAX_SAFE_INTEGER, exact: false }
    : { totalMinor: Number(total), exact: true };
}
