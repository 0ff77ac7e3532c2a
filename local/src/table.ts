/** Columns of equal width for a terminal; numbers stand on the right. */
export function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const texts = rows.map((row) => row.map(String));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...texts.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[], isNumber: (column: number) => boolean) =>
    `  ${cells
      .map((cell, column) =>
        isNumber(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('   ')
      .trimEnd()}`;
  const numeric = (column: number) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number');
  return [
    line(head, numeric),
    line(
      widths.map((width) => '-'.repeat(width)),
      () => false,
    ),
    ...texts.map((row) => line(row, numeric)),
  ].join('\n');
}
