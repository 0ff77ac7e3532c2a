import { expect, test } from '@jest/globals';
import { newTraceparent, type SpanEnd, type SpanStart } from '@paystream/runtime';
import { identify } from './messages.ts';
import type { Publisher, PublishOutcome } from './publisher.ts';
import { tracePublisher } from './traced-publisher.ts';
import { toUnmapped } from './webhooks.ts';

const receivedAt = '2026-01-02T03:04:05.678Z';
const { event } = identify({
  txId: 'a:1',
  action: 'APPROVED',
  amount: 1,
  note: '',
  source: 'a',
  receivedAt,
});
const unmapped = toUnmapped({
  source: 'a',
  receivedAt,
  webhook: { id: 'a'.repeat(32), body: '{}' },
  reasons: [],
});
const stored: PublishOutcome = { status: 'stored', id: 'an-id', sequence: 7, duplicate: true };
const refused: PublishOutcome = {
  status: 'unavailable',
  id: 'an-id',
  reason: 'stream-full',
  detail: 'full',
  retryAfterS: 30,
};

async function publishTraced(said: Parameters<Publisher['publish']>[0], outcome: PublishOutcome) {
  const [given, own] = [newTraceparent(), newTraceparent()];
  const seen: { start?: SpanStart; end?: SpanEnd | undefined; sent?: string | undefined } = {};
  const publisher = tracePublisher(
    {
      hasRoom: () => true,
      publish: async (_said, trace) => {
        seen.sent = trace?.traceparent;
        return outcome;
      },
    },
    {
      start: (start) => {
        seen.start = start;
        return {
          traceparent: own,
          end: (end) => {
            seen.end = end;
          },
        };
      },
      close: async () => undefined,
    },
  );
  const word = await publisher.publish(said, { traceparent: given });
  return { ...seen, word, given, own };
}

test('the message names the span of its publish, which names what caused it', async () => {
  const { start, end, sent, word, given, own } = await publishTraced(event, stored);

  expect(start).toMatchObject({ name: 'publish payments.approved', kind: 'producer', parent: given });
  expect(sent).toBe(own);
  expect(end).toMatchObject({
    error: undefined,
    attributes: { 'messaging.message.id': 'an-id', 'paystream.sequence': 7, 'paystream.duplicate': true },
  });
  expect(word).toBe(stored);
});

test('what the broker has not taken is an error of few words', async () => {
  const { start, end, word } = await publishTraced(unmapped, refused);

  expect(start?.name).toBe('publish payments.unmapped');
  expect(end?.error).toBe('stream-full');
  expect(word).toBe(refused);
});

test('without tracing there is nothing around it', () => {
  const publisher: Publisher = { hasRoom: () => true, publish: async () => stored };

  expect(tracePublisher(publisher, undefined)).toBe(publisher);
});
