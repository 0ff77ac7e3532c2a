import {
  type PaymentEvent,
  type Publisher,
  type PublishOutcome,
  toUnmapped,
  type UnmappedWebhook,
} from '@paystream/nats';
import type { Accepted } from './source.ts';

type Stored = Extract<PublishOutcome, { status: 'stored' }>;
export type Unavailable = Omit<Extract<PublishOutcome, { status: 'unavailable' }>, 'id'>;
type Message = Pick<Stored, 'id' | 'sequence' | 'duplicate'>;

/** All of it is stored, or something is not: then all of it is sent again, and what was stored is known by its id. */
export type Published = { status: 'stored'; messages: [Message, ...Message[]] } | Unavailable;

export interface PublishAllOptions {
  publisher: Publisher;
  accepted: Accepted;
  trace?: { traceparent: string };
  /** Neither the body nor what was not understood is told again. */
  bodyIsKept?: boolean;
}

// In the broker's hand at one time, of one webhook: one with many items leaves room for others.
const togetherMax = 100;
// One message is bounded by the publisher; many take their time one behind the other, and the answer has 5 s.
const answerWithinMs = 4_500;

/** Publishes what came of a webhook, each message under its own id. Never rejects. */
export async function publishAll(options: PublishAllOptions): Promise<Published> {
  const drafts = draftsOf(options);
  if (drafts.length === 1) return publishDrafts(options, drafts);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Published>((resolve) => {
    const outcome: Unavailable = {
      status: 'unavailable',
      reason: 'no-answer',
      detail: `${drafts.length} messages were not stored in time`,
      retryAfterS: 2,
    };
    timer = setTimeout(() => resolve(outcome), answerWithinMs);
  });
  const published = await Promise.race([publishDrafts(options, drafts), late]);
  clearTimeout(timer);
  return published;
}

/** A message that can be written with the webhook's body or without it. */
type Draft = (withBody: boolean) => PaymentEvent | UnmappedWebhook;

/**
 * The body travels with the first message that the broker did not hold before: one that it knows already is thrown away,
 * body and all, and came perhaps of another webhook.
 */
async function publishDrafts(
  { publisher, accepted, trace, bodyIsKept = false }: PublishAllOptions,
  drafts: readonly Draft[],
): Promise<Published> {
  const messages: Message[] = [];
  let carriesBody = accepted.webhook !== undefined && !bodyIsKept;
  while (messages.length < drafts.length) {
    const next = drafts.slice(messages.length, messages.length + (carriesBody ? 1 : togetherMax));
    const outcomes = await Promise.all(next.map((draft) => publisher.publish(draft(carriesBody), trace)));
    for (const outcome of outcomes) {
      if (outcome.status === 'unavailable') return outcome;
      const { id, sequence, duplicate } = outcome;
      messages.push({ id, sequence, duplicate });
      if (!duplicate) carriesBody = false;
    }
  }
  const [first, ...others] = messages;
  if (first === undefined) throw new Error('nothing came of a webhook that was accepted');
  return { status: 'stored', messages: [first, ...others] };
}

function draftsOf({ accepted: { events, unmapped, webhook }, bodyIsKept }: PublishAllOptions): Draft[] {
  const ofEvents = events.map(
    (event): Draft =>
      (withBody) =>
        webhook === undefined ? event : { ...event, webhook: referenceTo(webhook, withBody) },
  );
  if (webhook === undefined || unmapped.length === 0 || bodyIsKept === true) return ofEvents;
  const { source, receivedAt } = webhook;
  const kept = toUnmapped({
    source,
    receivedAt,
    webhook: { ...referenceTo(webhook, false), body: webhook.body },
    reasons: unmapped,
  });
  return [() => kept, ...ofEvents];
}

function referenceTo({ id, deliveryId, body }: NonNullable<Accepted['webhook']>, withBody: boolean) {
  return { id, ...(deliveryId === undefined ? {} : { deliveryId }), ...(withBody ? { body } : {}) };
}
