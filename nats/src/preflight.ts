import type { ConsumerConfig, StreamConfig } from 'nats';
import { type ConsumerDefinition, outageBudgetMs, type StreamDefinition } from './streams.ts';

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
  return `${severity}: ${resource}: ${setting} ${problem}. Mend it: ${mend}`;
}

const days = (nanos: number) => `${(nanos / 86_400_000_000_000).toFixed(2).replace(/\.?0+$/, '')} days`;
const seconds = (nanos: number) => `${nanos / 1_000_000_000} s`;

/** What differs in a stream that can lose a payment or cost something, worst first. */
export function compareStream(
  wanted: StreamDefinition,
  found: StreamConfig,
  atomicBatches: boolean,
): Finding[] {
  const resource = `stream ${wanted.name}`;
  const findings: Finding[] = [];
  const edit = (flags: string) => `${applyCommand}   (or: nats stream edit ${wanted.name} ${flags} --force)`;
  const anew = `let it run empty, then: nats stream rm ${wanted.name} --force && ${createCommand}`;
  const unsafe = (setting: string, problem: string, mend: string) =>
    findings.push({ severity: 'unsafe', resource, setting, problem, mend });
  const warning = (setting: string, problem: string, mend: string) =>
    findings.push({ severity: 'warning', resource, setting, problem, mend });

  if (found.storage !== wanted.storage) {
    unsafe(
      'storage',
      `is ${found.storage}, must be file: a restart of the broker would forget every payment`,
      anew,
    );
  }
  if (found.retention !== wanted.retention) {
    unsafe(
      'retention',
      `is ${found.retention}, must be ${wanted.retention}: messages would leave it at another time`,
      anew,
    );
  }
  if (found.discard !== wanted.discard) {
    unsafe(
      'discard',
      `is ${found.discard}, must be new: a full stream would throw away the oldest messages without a word`,
      edit('--discard=new'),
    );
  }
  const ageTooShort = found.max_age > 0 && (wanted.max_age === 0 || found.max_age < wanted.max_age);
  if (ageTooShort) {
    const budget =
      wanted.max_age === 0 ? 'must be unlimited' : `must be ${days(outageBudgetMs * 1_000_000)} or more`;
    unsafe(
      'max-age',
      `is ${days(found.max_age)}, ${budget}: the broker deletes what was not applied by then`,
      edit(`--max-age=${wanted.max_age === 0 ? '0s' : `${outageBudgetMs / 3_600_000}h`}`),
    );
  }
  const [subject = ''] = wanted.subjects;
  if (!found.subjects.includes(subject)) {
    unsafe(
      'subjects',
      `are ${found.subjects.join(', ')}, must include ${subject}: events would be refused`,
      edit(`--subjects='${subject}'`),
    );
  }
  if (found.num_replicas < wanted.num_replicas) {
    warning(
      'replicas',
      `is ${found.num_replicas}, STREAM_REPLICAS says ${wanted.num_replicas}`,
      edit(`--replicas=${wanted.num_replicas}`),
    );
  }
  if (found.duplicate_window < wanted.duplicate_window) {
    warning(
      'duplicate-window',
      `is ${seconds(found.duplicate_window)}, should be ${seconds(wanted.duplicate_window)}: later repeats are ` +
        'stored again (the record still applies them once)',
      edit(`--dupe-window=${seconds(wanted.duplicate_window).replace(' ', '')}`),
    );
  }
  if (found.max_bytes === -1) {
    warning(
      'max-bytes',
      'has no limit: the disk is the limit, and a full disk stops the broker',
      edit(`--max-bytes=${wanted.max_bytes}`),
    );
  }
  if (atomicBatches && !('allow_atomic' in found && found.allow_atomic === true)) {
    warning('allow-atomic', 'is off: this server could publish batches atomically', applyCommand);
  }
  return findings;
}

/** What differs in a consumer, worst first. */
export function compareConsumer(wanted: ConsumerDefinition, found: ConsumerConfig): Finding[] {
  const resource = `consumer ${wanted.stream} ${wanted.durable_name}`;
  const findings: Finding[] = [];
  const mend = `${applyCommand}   (or: nats consumer rm ${wanted.stream} ${wanted.durable_name} --force && ${createCommand})`;
  const add = (severity: Finding['severity'], setting: string, problem: string) =>
    findings.push({ severity, resource, setting, problem, mend });

  if (found.ack_policy !== wanted.ack_policy) {
    add(
      'unsafe',
      'ack',
      `is ${found.ack_policy}, must be explicit: a message would count as applied before it is`,
    );
  }
  if ((found.max_deliver ?? -1) !== -1) {
    add(
      'unsafe',
      'max-deliver',
      `is ${found.max_deliver}, must be -1: a message that ran out of deliveries stays in the stream and is handed to nobody`,
    );
  }
  if (found.deliver_policy !== wanted.deliver_policy) {
    add(
      'unsafe',
      'deliver',
      `is ${found.deliver_policy}, must be all: older messages would never be applied`,
    );
  }
  const filters = [found.filter_subject, ...(found.filter_subjects ?? [])].filter((filter) => filter);
  if (filters.length > 0 && !filters.includes('payments.*') && !filters.includes('payments.>')) {
    add(
      'unsafe',
      'filter',
      `is ${filters.join(', ')}, must be payments.* or none: other events would never be applied`,
    );
  }
  if (found.deliver_subject) {
    add(
      'unsafe',
      'target',
      'is a push consumer, must be a pull consumer: the service could not hold it back',
    );
  }
  if ((found.ack_wait ?? wanted.ack_wait) < wanted.ack_wait) {
    add(
      'warning',
      'wait',
      `is ${seconds(found.ack_wait ?? 0)}, should be ${seconds(wanted.ack_wait)}: slow batches come twice`,
    );
  }
  if (found.replay_policy !== wanted.replay_policy) {
    add(
      'warning',
      'replay',
      `is ${found.replay_policy}, should be instant: a redelivery or a quiet hour would hold back every payment`,
    );
  }
  return findings;
}
