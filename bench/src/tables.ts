/** Columns of text, for a terminal and for a document. */
export interface Table {
  head: string[];
  rows: string[][];
}

export function markdownTable({ head, rows }: Table): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const bar = head.map((_, column) => (column === 0 ? '---' : '---:'));
  return [line(head), line(bar), ...rows.map(line)].join('\n');
}

export interface Goal {
  what: string;
  goal: string;
  measured: string;
  met: boolean;
}

export function goalsTable(goals: readonly Goal[]): Table {
  return {
    head: ['what', 'goal', 'measured', 'met'],
    rows: goals.map(({ what, goal, measured, met }) => [what, goal, measured, met ? 'yes' : '**no**']),
  };
}
