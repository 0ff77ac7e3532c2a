import { type ConsumerConfig, ReplayPolicy } from 'nats';
import { applyCommand, type Check, createCommand, type Finding, findingsOf, seconds } from './preflight.ts';
import { type ConsumerDefinition, type StreamOptions, workQueues } from './streams.ts';
import { covers } from './subjects.ts';

/** What differs in a consumer, worst first. */
export function compareConsumer(
  wanted: ConsumerDefinition,
  found: ConsumerConfig,
  { replayPolicy }: StreamOptions,
): Finding[] {
  const names = `${wanted.stream} ${wanted.durable_name}`;
  const withMode = (command: string) => `${modeFor(wanted)}${command}`;
  const mend = `${withMode(applyCommand)}   (or: nats consumer rm ${names} --force && ${withMode(createCommand)})`;
  const isAnyReplayFine = wanted.stream === workQueues.payment.stream && replayPolicy === undefined;
  const checks = [
    ...losingConsumer(wanted, found),
    ...costlyConsumer(wanted, found).filter(({ setting }) => setting !== 'replay' || !isAnyReplayFine),
  ];
  return findingsOf(
    `consumer ${names}`,
    checks.map((check) => ({ ...check, mend })),
  );
}

/** What `npm run provision` must be told to make this consumer and not the usual one. */
export function modeFor({ replay_policy }: ConsumerDefinition): string {
  return replay_policy === ReplayPolicy.Original ? 'REPLAY_MODE=broker ' : '';
}

function losingConsumer(wanted: ConsumerDefinition, found: ConsumerConfig): Omit<Check, 'mend'>[] {
  const subjects = Object.values(workQueues).find(({ stream }) => stream === wanted.stream)?.subjects ?? '>';
  const filters = [found.filter_subject, ...(found.filter_subjects ?? [])].filter((filter) => filter);
  const severity = 'unsafe';
  return [
    {
      wrong: found.ack_policy !== wanted.ack_policy,
      severity,
      setting: 'ack',
      problem: `is ${found.ack_policy}, must be explicit: a message would count as applied before it is`,
    },
    {
      wrong: (found.max_deliver ?? -1) !== -1,
      severity,
      setting: 'max-deliver',
      problem: `is ${found.max_deliver}, must be -1: a message that ran out of deliveries stays in the stream and is handed to nobody`,
    },
    {
      wrong: found.deliver_policy !== wanted.deliver_policy,
      severity,
      setting: 'deliver',
      problem: `is ${found.deliver_policy}, must be all: older messages would never be applied`,
    },
    {
      wrong: filters.length > 0 && !filters.some((filter) => covers(filter ?? '', subjects)),
      severity,
      setting: 'filter',
      problem: `is ${filters.join(', ')}, must be ${subjects} or none: other events would never be applied`,
    },
    {
      wrong: found.headers_only === true,
      severity,
      setting: 'headers-only',
      problem: 'is on, must be off: messages would come without their content',
    },
    {
      wrong: Boolean(found.deliver_subject),
      severity,
      setting: 'target',
      problem: 'is a push consumer, must be a pull consumer: the service could not hold it back',
    },
  ];
}

function costlyConsumer(wanted: ConsumerDefinition, found: ConsumerConfig): Omit<Check, 'mend'>[] {
  const ackWait = found.ack_wait ?? wanted.ack_wait;
  const severity = 'warning';
  return [
    {
      wrong: ackWait < wanted.ack_wait,
      severity,
      setting: 'wait',
      problem: `is ${seconds(ackWait)}, should be ${seconds(wanted.ack_wait)}: slow batches come twice`,
    },
    {
      wrong: found.replay_policy !== wanted.replay_policy,
      severity,
      setting: 'replay',
      problem:
        wanted.replay_policy === ReplayPolicy.Original
          ? `is ${found.replay_policy}, REPLAY_MODE=broker asks for original: nobody paces a backlog`
          : `is ${found.replay_policy}, should be instant: a redelivery or a quiet hour would hold back every payment`,
    },
    {
      wrong: (found.inactive_threshold ?? 0) > 0,
      severity,
      setting: 'inactive-threshold',
      problem: `is ${seconds(found.inactive_threshold ?? 0)}, should be none: the broker would delete the consumer in an outage`,
    },
  ];
}
