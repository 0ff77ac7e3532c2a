import { createHash } from 'node:crypto';
import { type Delivery, headerNames, originId } from '@paystream/nats';
import {
  parseTraceparent,
  type SpanEnd,
  type SpanStart,
  type Tracing,
  writeTraceparent,
} from '@paystream/runtime';
import type { Decide } from './decide.ts';
import { levelOf, type Settling } from './settling.ts';
import { StoreUnavailable } from './store.ts';

/** The one way into the record with a consumer span around each message of a batch; without tracing itself. */
export function traceDecide(decide: Decide, tracing: Tracing | undefined): Decide {
  if (tracing === undefined) return decide;
  return async (deliveries) => {
    const spans = new Map(deliveries.map((delivery) => [delivery, tracing.start(spanOf(delivery))]));
    try {
      const settlings = await decide(deliveries);
      for (const settling of settlings) spans.get(settling.delivery)?.end(endOf(settling));
      return settlings;
    } catch (error) {
      const how = { error: error instanceof StoreUnavailable ? 'database-away' : 'failed' };
      for (const span of spans.values()) span.end(how);
      throw error;
    }
  };
}

function spanOf(delivery: Delivery): SpanStart {
  const { subject, sequence, deliveries, from, header } = delivery;
  const parent = header(headerNames.traceparent);
  const first = firstSpanOf(delivery);
  const isFirst = deliveries === 1 && from !== 'dead-letters';
  return {
    name: `apply ${subject}`,
    kind: 'consumer',
    parent,
    spanId: isFirst ? first?.spanId : undefined,
    // One that is redriven is caused by a person, and names the deliveries of a queue that it has left.
    link: first === undefined || isFirst || from === 'dead-letters' ? undefined : writeTraceparent(first),
    attributes: {
      'messaging.system': 'nats',
      'messaging.destination.name': subject,
      'messaging.operation.name': 'apply',
      'messaging.operation.type': 'process',
      'messaging.message.id': header(headerNames.messageId),
      'paystream.from': from,
      'paystream.sequence': sequence,
      'paystream.deliveries': deliveries,
    },
  };
}

/**
 * The span of the first delivery. Its id is made of what names the message, since it is mostly another process that has
 * the message again, and that one was told nothing by the first.
 */
function firstSpanOf(delivery: Delivery) {
  const parent = parseTraceparent(delivery.header(headerNames.traceparent));
  if (parent === undefined) return undefined;
  const named = `${parent.traceId}.${delivery.from}.${originId(delivery)}`;
  return { ...parent, spanId: createHash('sha256').update(named).digest('hex').slice(0, 16) };
}

function endOf(settling: Settling): SpanEnd {
  const { outcome, event } = settling;
  const isFailure = outcome.kind !== 'conflict' && levelOf(outcome) === 'error';
  return {
    attributes: {
      'paystream.outcome': outcome.kind,
      'paystream.tx_id': event?.txId,
      'paystream.event_id': event?.eventId,
    },
    error: isFailure || outcome.kind === 'retry' ? outcome.kind : undefined,
  };
}
