import type { Publisher, RefusalReason, RefusedWebhooks } from '@paystream/nats';
import { type Published, publishAll, type Unavailable } from './publish-all.ts';
import { refusalOf } from './refused-keeper.ts';
import type { Accepted, Source } from './source.ts';

export type Retried =
  /** Taken out by a retry before, or too old. */
  | { kind: 'unknown' }
  /** It stays. */
  | { kind: 'refused'; source: string; code: RefusalReason | 'unknown-source'; detail: string }
  /** Nothing is known of it that was not known before: it stays, and can be tried again. */
  | ({ kind: 'unavailable'; source: string } & Unavailable)
  | { kind: 'accepted'; source: string; accepted: Accepted; messages: Messages };
type Messages = Extract<Published, { status: 'stored' }>['messages'];

export interface RetryRefusedOptions {
  sources: () => ReadonlyMap<string, Source>;
  refused: Pick<RefusedWebhooks, 'get' | 'remove'>;
  publisher: Publisher;
}

/**
 * Verifies a refused webhook with the sources of today and the time at which it came, and publishes it as a live one. What
 * was published before is known by its ids, so that a second retry, or its sender's, has no second effect.
 */
export function createRetryRefused({ sources, refused, publisher }: RetryRefusedOptions) {
  return async (sequence: number): Promise<Retried> => {
    const webhook = await refused.get(sequence);
    if (webhook === undefined) return { kind: 'unknown' };
    const { source } = webhook;
    const decision = sources().get(source)?.decide(webhook);
    if (decision === undefined) return { kind: 'refused', source, code: 'unknown-source', detail: '' };
    if (decision.kind !== 'accepted') {
      const { reason, detail } = refusalOf(decision);
      return { kind: 'refused', source, code: reason, detail };
    }
    const published = await publishAll({ publisher, accepted: decision });
    if (published.status === 'unavailable') return { kind: 'unavailable', source, ...published };
    // Only now: until the stream has all that came of it, this is the one place where it is.
    await refused.remove(sequence);
    return { kind: 'accepted', source, accepted: decision, messages: published.messages };
  };
}
