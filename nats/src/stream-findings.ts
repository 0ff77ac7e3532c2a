import type { StreamConfig } from 'nats';
import {
  applyCommand,
  type Check,
  createCommand,
  type Finding,
  findingsOf,
  hours,
  seconds,
} from './preflight.ts';
import { backlogStreamName, holdsPromises, paymentStreamName, type StreamDefinition } from './streams.ts';
import { covers } from './subjects.ts';

/** What differs in a stream that can lose a payment or cost something, worst first. */
export function compareStream(
  wanted: StreamDefinition,
  found: StreamConfig,
  atomicBatches: boolean,
): Finding[] {
  const checks = [
    ...unchangeable(wanted, found),
    ...losing(wanted, found),
    ...costly(wanted, found),
    {
      wrong: atomicBatches && !('allow_atomic' in found && found.allow_atomic === true),
      severity: 'warning' as const,
      setting: 'allow-atomic',
      problem: 'is off: this server could publish batches atomically',
      mend: edit(wanted, '--allow-batch'),
    },
  ];
  const findings = findingsOf(`stream ${wanted.name}`, checks);
  // Nothing that is set there can lose a payment, so nobody must stop for it.
  if (!holdsPromises(wanted.name)) return findings.map((finding) => ({ ...finding, severity: 'warning' }));
  return findings;
}

/** What the broker changes only by making the stream anew, which `--apply` never does: it would delete what is in it. */
function unchangeable(wanted: StreamDefinition, found: StreamConfig): Check[] {
  const before = emptiedBy(wanted);
  const mend = `${before}, then: nats stream rm ${wanted.name} --force && ${createCommand}`;
  return [
    {
      wrong: found.storage !== wanted.storage,
      severity: 'unsafe',
      setting: 'storage',
      problem: `is ${found.storage}, must be file: a restart of the broker would forget what is in it`,
      mend,
    },
    {
      wrong: found.retention !== wanted.retention,
      severity: 'unsafe',
      setting: 'retention',
      problem: `is ${found.retention}, must be ${wanted.retention}: messages would leave it at another time`,
      mend,
    },
    {
      wrong: 'persist_mode' in found && found.persist_mode === 'async',
      severity: 'unsafe',
      setting: 'persist-mode',
      problem: 'is async, must be default: the broker acknowledges what is not written yet',
      mend,
    },
  ];
}

/** How a stream is emptied, or saved, before it is made anew. */
function emptiedBy({ name }: StreamDefinition): string {
  switch (name) {
    case paymentStreamName:
      return 'stop the gateway, let payment-service apply what is in it (PREFLIGHT=warn)';
    case backlogStreamName:
      return 'let payment-service replay what is in it (PREFLIGHT=warn)';
    default:
      return `save it (nats stream backup ${name} <folder>)`;
  }
}

function losing(wanted: StreamDefinition, found: StreamConfig): Check[] {
  const [subject = ''] = wanted.subjects;
  const severity = 'unsafe';
  const perSubject = found.max_msgs_per_subject;
  return [
    {
      wrong: found.discard !== wanted.discard,
      severity,
      setting: 'discard',
      problem: `is ${found.discard}, must be ${wanted.discard}: ${discardCosts[wanted.discard]}`,
      mend: edit(wanted, `--discard=${wanted.discard}`),
    },
    {
      wrong: perSubject > 0 && found.discard_new_per_subject !== true,
      severity,
      setting: 'max-msgs-per-subject',
      problem: `is ${perSubject}, must be unlimited: a message would throw away an older one of the same action`,
      mend: edit(wanted, '--max-msgs-per-subject=-1'),
    },
    {
      wrong: found.max_age > 0 && (wanted.max_age === 0 || found.max_age < wanted.max_age),
      severity,
      setting: 'max-age',
      problem:
        `is ${hours(found.max_age)}, must be ${wanted.max_age === 0 ? 'unlimited' : `${hours(wanted.max_age)} or more`}: ` +
        'the broker deletes what is older, applied or not',
      mend: edit(wanted, `--max-age=${wanted.max_age === 0 ? '0s' : hours(wanted.max_age).replace(' ', '')}`),
    },
    {
      wrong: found.no_ack === true,
      severity,
      setting: 'no-ack',
      problem: 'is on, must be off: nobody would be told whether a message was stored',
      mend: edit(wanted, '--ack'),
    },
    {
      wrong: !found.subjects.some((pattern) => covers(pattern, subject)),
      severity,
      setting: 'subjects',
      problem: `are ${found.subjects.join(', ')}, must include ${subject}: messages would be refused`,
      mend: edit(wanted, `--subjects='${subject}'`),
    },
  ];
}

/** What the other one would do. */
const discardCosts: Readonly<Record<StreamDefinition['discard'], string>> = {
  new: 'a full stream would throw away the oldest messages without a word',
  old: 'a full stream would take nothing more',
};

function costly(wanted: StreamDefinition, found: StreamConfig): Check[] {
  const severity = 'warning';
  return [
    {
      wrong: found.num_replicas < wanted.num_replicas,
      severity,
      setting: 'replicas',
      problem: `is ${found.num_replicas}, STREAM_REPLICAS says ${wanted.num_replicas}`,
      mend: edit(wanted, `--replicas=${wanted.num_replicas}`),
    },
    {
      wrong: found.duplicate_window < wanted.duplicate_window,
      severity,
      setting: 'duplicate-window',
      problem:
        `is ${seconds(found.duplicate_window)}, should be ${seconds(wanted.duplicate_window)}: later repeats are ` +
        'stored again (the record still applies them once)',
      mend: edit(wanted, `--dupe-window=${seconds(wanted.duplicate_window).replace(' ', '')}`),
    },
    {
      wrong: found.max_bytes === -1,
      severity,
      setting: 'max-bytes',
      problem: 'has no limit: the disk is the limit, and a full disk stops the broker',
      mend: edit(wanted, `--max-bytes=${wanted.max_bytes}`),
    },
    {
      wrong: found.max_bytes !== -1 && found.max_bytes < wanted.max_bytes,
      severity,
      setting: 'max-bytes',
      problem: `is ${found.max_bytes}, STREAM_MAX_BYTES asks for ${wanted.max_bytes}: it is full sooner`,
      mend: edit(wanted, `--max-bytes=${wanted.max_bytes}`),
    },
    {
      wrong: wanted.name === paymentStreamName && isOver(found.max_msg_size, wanted.max_msg_size),
      severity,
      setting: 'max-msg-size',
      problem: `${found.max_msg_size === -1 ? 'has no limit' : `is ${found.max_msg_size}`}, should be ${wanted.max_msg_size}: a larger message finds no room among the dead letters`,
      mend: edit(wanted, `--max-msg-size=${wanted.max_msg_size}`),
    },
    {
      wrong: isOver(wanted.max_msg_size, found.max_msg_size),
      severity,
      setting: 'max-msg-size',
      problem: `is ${found.max_msg_size}, should be ${wanted.max_msg_size}: a large message and what is added to it find no room`,
      mend: edit(wanted, `--max-msg-size=${wanted.max_msg_size}`),
    },
  ];
}

const edit = ({ name }: StreamDefinition, flags: string) =>
  `${applyCommand}   (or: nats stream edit ${name} ${flags} --force)`;

/** For limits where -1 means none. */
const isOver = (one: number, other: number) => other !== -1 && (one === -1 || one > other);
