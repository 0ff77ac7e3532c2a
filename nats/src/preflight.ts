/** A setting on the broker that differs from ours. `unsafe`: it can lose a payment, and the service must not run. */
export interface Finding {
  severity: 'unsafe' | 'warning';
  resource: string;
  setting: string;
  /** What is wrong and what it leads to, in one sentence. */
  problem: string;
  /** The command that mends it. */
  mend: string;
}

export const applyCommand = 'npm run provision -- --apply';
export const createCommand = 'npm run provision';

/** One line per finding, for a log or a terminal. */
export function findingLine({ severity, resource, setting, problem, mend }: Finding): string {
  const what = setting === 'existence' ? problem : `${setting} ${problem}`;
  return `${severity}: ${resource}: ${what}. Mend it: ${mend}`;
}

/** A finding, and whether it is one. */
export interface Check extends Pick<Finding, 'severity' | 'setting' | 'problem' | 'mend'> {
  wrong: boolean;
}

export function findingsOf(resource: string, checks: Check[]): Finding[] {
  return checks
    .filter(({ wrong }) => wrong)
    .map(({ severity, setting, problem, mend }) => ({ severity, resource, setting, problem, mend }));
}

export const hours = (nanos: number) => `${Number((nanos / 3_600_000_000_000).toFixed(2))} h`;
export const seconds = (nanos: number) => `${nanos / 1_000_000_000} s`;
