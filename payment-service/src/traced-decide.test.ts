import { describe, expect, test } from '@jest/globals';
import type { Delivery } from '@paystream/nats';
import type { SpanEnd, SpanStart, Tracing } from '@paystream/runtime';
import type { Decide } from './decide.ts';
import type { Outcome } from './settling.ts';
import { StoreUnavailable } from './store.ts';
import { deliveryOf } from './testing/replaying.ts';
import { traceDecide } from './traced-decide.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${traceId}-b7ad6b7169203331-01`;

function startTracing() {
  const spans: { start: SpanStart; end?: SpanEnd | undefined }[] = [];
  const tracing: Tracing = {
    start: (start) => {
      const span: (typeof spans)[number] = { start };
      spans.push(span);
      return {
        traceparent: '',
        end: (end) => {
          span.end = end;
        },
      };
    },
    close: async () => undefined,
  };
  return { spans, tracing };
}

const deciding =
  (outcome: Outcome): Decide =>
  async (deliveries) =>
    deliveries.map((delivery) => ({ delivery, outcome, event: undefined }));

const handedOut = (said: Partial<Delivery> = {}): Delivery => ({
  ...deliveryOf(1_000),
  from: 'payment',
  header: (name) => (name === 'traceparent' ? traceparent : undefined),
  ...said,
});

/** What the span of each is begun with. */
async function startsOf(...deliveries: Delivery[]): Promise<SpanStart[]> {
  const { spans, tracing } = startTracing();
  await traceDecide(deciding({ kind: 'applied' }), tracing)(deliveries);
  return spans.map(({ start }) => start);
}

describe('the span of a delivery', () => {
  test('is one for each message of a batch, caused by its publish', async () => {
    const starts = await startsOf(handedOut(), handedOut({ sequence: 2 }));

    expect(starts).toMatchObject(Array(2).fill({ kind: 'consumer', parent: traceparent, link: undefined }));
    expect(new Set(starts.map(({ spanId }) => spanId)).size).toBe(2);
    for (const { spanId } of starts) expect(spanId).toMatch(/^[0-9a-f]{16}$/);
  });

  test('that comes again is linked to the first, whoever had that', async () => {
    const [first, second, third] = await startsOf(
      handedOut(),
      handedOut({ deliveries: 2 }),
      handedOut({ deliveries: 3 }),
    );

    expect(second).toMatchObject({ spanId: undefined, link: `00-${traceId}-${first?.spanId}-01` });
    expect(third?.link).toBe(second?.link);
    expect(third?.attributes['paystream.deliveries']).toBe(3);
  });

  test('is another one in another queue, and of a redrive never that of a first delivery', async () => {
    const [live, backlog, redriven] = await startsOf(
      handedOut(),
      handedOut({ from: 'backlog' }),
      handedOut({ from: 'dead-letters' }),
    );

    expect(live?.spanId).not.toBe(backlog?.spanId);
    expect(redriven).toMatchObject({ spanId: undefined, link: undefined, parent: traceparent });
  });

  test.each([undefined, 'nonsense'])(
    'of a message with the traceparent %s is linked to nothing',
    async (given) => {
      const [first, again] = await startsOf(
        handedOut({ header: () => given }),
        handedOut({ header: () => given, deliveries: 2 }),
      );

      expect([first?.spanId, again?.link]).toEqual([undefined, undefined]);
    },
  );
});

describe('its end', () => {
  const endOf = async (decide: Decide) => {
    const { spans, tracing } = startTracing();
    await traceDecide(decide, tracing)([handedOut()]).catch(() => undefined);
    return spans[0]?.end;
  };

  test.each<[Outcome, string | undefined]>([
    [{ kind: 'applied' }, undefined],
    [{ kind: 'duplicate' }, undefined],
    [{ kind: 'unmapped' }, undefined],
    [{ kind: 'retry', detail: 'a lost race' }, 'retry'],
    [{ kind: 'unreadable', reason: 'not-json', detail: '' }, 'unreadable'],
  ])('of %j has the error %s', async (outcome, error) => {
    expect(await endOf(deciding(outcome))).toMatchObject({
      attributes: { 'paystream.outcome': outcome.kind },
      error,
    });
  });

  test('comes also when nothing is known of the message, and what was thrown goes on', async () => {
    const away = new StoreUnavailable('away', { cause: undefined });

    expect(await endOf(() => Promise.reject(away))).toEqual({ error: 'database-away' });
    expect(await endOf(() => Promise.reject(new Error('a bug')))).toEqual({ error: 'failed' });
    await expect(traceDecide(() => Promise.reject(away), startTracing().tracing)([])).rejects.toBe(away);
  });
});

test('without tracing there is nothing around it', () => {
  const decide = deciding({ kind: 'applied' });

  expect(traceDecide(decide, undefined)).toBe(decide);
});
