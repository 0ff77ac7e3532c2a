import type { StreamConfig } from 'nats';
import { covers } from './subjects.ts';

/**
 * The found settings with ours where ours are safer. What the operator has made larger stays: a shorter age or
 * a smaller limit would delete or refuse messages that the stream has room for now.
 */
export function mendedStream(wanted: Partial<StreamConfig>, found: StreamConfig): StreamConfig {
  const ours = { ...found, ...wanted };
  const isUnlimited = found.max_age === 0 || ours.max_age === 0;
  const others = found.subjects.filter(
    (subject) => !ours.subjects.some((pattern) => covers(pattern, subject)),
  );
  const areCovered = ours.subjects.every((subject) =>
    found.subjects.some((pattern) => covers(pattern, subject)),
  );
  return {
    ...ours,
    subjects: areCovered ? found.subjects : [...ours.subjects, ...others],
    max_age: isUnlimited ? 0 : Math.max(found.max_age, ours.max_age),
    max_msgs: found.max_msgs,
    max_msgs_per_subject: found.discard_new_per_subject === true ? found.max_msgs_per_subject : -1,
    max_bytes: Math.max(found.max_bytes, ours.max_bytes),
    num_replicas: Math.max(found.num_replicas, ours.num_replicas),
    duplicate_window: Math.max(found.duplicate_window, ours.duplicate_window),
    allow_direct: found.allow_direct,
    no_ack: false,
  };
}
