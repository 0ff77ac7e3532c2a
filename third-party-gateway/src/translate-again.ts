import type { Publisher, Translated, WebhookToTranslate } from '@paystream/nats';
import { newTraceparent } from '@paystream/runtime';
import { publishAll } from './publish-all.ts';
import type { Source } from './source.ts';

export interface TranslateAgainOptions {
  sources: () => ReadonlyMap<string, Source>;
  publisher: Publisher;
}

/**
 * Translates a webhook that was verified when it came with the mapping of today, and publishes what comes of it: events
 * that it made before have the ids of before. Its body is kept already and travels no more.
 */
export function createTranslateAgain({ sources, publisher }: TranslateAgainOptions) {
  return async ({ source: name, body, deliveryId, ...asked }: WebhookToTranslate): Promise<Translated> => {
    const source = sources().get(name);
    if (source === undefined) return { kind: 'unknown-source' };
    const decision = source.translate({
      keyId: 'kept',
      body: Buffer.from(body),
      deliveryId,
      receivedAt: new Date(asked.receivedAt),
    });
    if (decision.kind === 'malformed') return { kind: 'unreadable', detail: decision.detail };
    if (decision.kind === 'invalid') return { kind: 'unreadable', detail: 'the event breaks a rule' };
    const { events, unmapped } = decision;
    if (events.length === 0) return { kind: 'published', messages: 0, duplicates: 0, unmapped };
    const trace = { traceparent: asked.traceparent ?? newTraceparent() };
    const published = await publishAll({ publisher, accepted: decision, trace, bodyIsKept: true });
    if (published.status === 'unavailable') return { kind: 'unavailable', detail: published.detail };
    const { messages } = published;
    const duplicates = messages.filter(({ duplicate }) => duplicate).length;
    return { kind: 'published', messages: messages.length, duplicates, unmapped };
  };
}
