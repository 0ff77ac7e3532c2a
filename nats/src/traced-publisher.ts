import type { Tracing } from '@paystream/runtime';
import { subjectOf } from './messages.ts';
import type { Publisher, PublishOutcome } from './publisher.ts';
import { unmappedSubject } from './webhooks.ts';

/** The publisher with a producer span around each message, which its `traceparent` then names; without tracing itself. */
export function tracePublisher(publisher: Publisher, tracing: Tracing | undefined): Publisher {
  if (tracing === undefined) return publisher;
  return {
    ...publisher,
    publish: async (said, trace) => {
      const subject = 'action' in said ? subjectOf(said.action) : unmappedSubject;
      const span = tracing.start({
        name: `publish ${subject}`,
        kind: 'producer',
        parent: trace?.traceparent,
        attributes: {
          'messaging.system': 'nats',
          'messaging.destination.name': subject,
          'messaging.operation.name': 'publish',
          'messaging.operation.type': 'send',
        },
      });
      const outcome = await publisher.publish(said, { traceparent: span.traceparent });
      span.end({
        attributes: { 'messaging.message.id': outcome.id, ...attributesOf(outcome) },
        error: outcome.status === 'unavailable' ? outcome.reason : undefined,
      });
      return outcome;
    },
  };
}

function attributesOf(outcome: PublishOutcome) {
  if (outcome.status === 'unavailable') return {};
  return { 'paystream.sequence': outcome.sequence, 'paystream.duplicate': outcome.duplicate };
}
