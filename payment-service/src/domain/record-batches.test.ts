import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decideRecord, type IncomingEvent, type RecordDecision, type TransactionRecord } from './record.ts';
import { type Action, foldTransaction } from './transaction.ts';

const txId = 'stripe:pi_1';
const start = Date.UTC(2026, 0, 1);

const facts = (contentsMax: number) =>
  fc.uniqueArray(
    fc.record({
      txId: fc.constant(txId),
      eventId: fc.nat(contentsMax).map((number) => `event-${number}`),
      fingerprint: fc.nat(contentsMax).map((number) => `content-${number}`),
      action: fc.constantFrom<Action[]>('NEW', 'UPDATE', 'DECLINED', 'APPROVED', 'CAPTURED', 'REFUNDED'),
      amount: fc.constantFrom(0, 40, 100),
      note: fc.constantFrom('', 'note'),
      source: fc.constant('stripe'),
      reference: fc.constantFrom(undefined, 'first', 'second'),
      occurredAt: fc.constantFrom(undefined, new Date(start), new Date(start + 1_000)),
      receivedAt: fc.constant(new Date(start)),
      storedAt: fc.nat(3).map((ms) => new Date(start + ms)),
      sequence: fc.integer({ min: 1, max: 3 }),
      deliveries: fc.constant(1),
    }),
    { selector: ({ eventId, fingerprint }) => `${eventId} ${fingerprint}`, minLength: 1, maxLength: 8 },
  );

/** Each fact from one to three times, in any order, cut anywhere; some batches are decided on an old reading. */
const anyDeliveries = (all: fc.Arbitrary<IncomingEvent[]>) =>
  all.chain((events) =>
    fc
      .tuple(...events.map((event) => fc.integer({ min: 1, max: 3 }).map((times) => ({ event, times }))))
      .chain((repeated) => {
        const deliveries = repeated.flatMap(({ event, times }) =>
          Array.from({ length: times }, (_, index) => ({ ...event, deliveries: index + 1 })),
        );
        return fc.record({
          events: fc.constant(events),
          deliveries: fc.shuffledSubarray(deliveries, { minLength: deliveries.length }),
          sizes: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: deliveries.length }),
          readings: fc.array(fc.nat(2), { minLength: deliveries.length }),
        });
      }),
  );

function batchesOf<Item>(items: readonly Item[], sizes: readonly number[]): Item[][] {
  const [size = 1, ...rest] = sizes;
  return items.length === 0 ? [] : [items.slice(0, size), ...batchesOf(items.slice(size), rest)];
}

/** One transaction in a store that refuses a change decided on another version than it has. */
function recordAll(batches: readonly IncomingEvent[][], readings: readonly number[] = []) {
  const versions: (TransactionRecord | undefined)[] = [undefined];
  const decisions: RecordDecision[] = [];
  let state: ReturnType<typeof foldTransaction> | undefined;

  const attempt = (batch: IncomingEvent[], read: TransactionRecord | undefined): boolean => {
    const present = versions.at(-1);
    const recorded = decideRecord(read, batch);
    const { change } = recorded;
    if (change !== undefined && change.expectedVersion !== (present?.version ?? 0)) return false;
    decisions.push(...recorded.decisions);
    if (change === undefined) return true;
    versions.push({
      txId,
      version: change.expectedVersion + 1,
      actionHistory: [...(present?.actionHistory ?? []), ...change.newEntries],
      conflicts: [...(present?.conflicts ?? []), ...change.newConflicts],
    });
    state = change.state;
    return true;
  };

  for (const [index, batch] of batches.entries()) {
    const old = versions.at(-1 - (readings[index] ?? 0));
    if (!attempt(batch, old)) attempt(batch, versions.at(-1));
  }
  return { record: versions.at(-1), decisions, state };
}

const history = ({ record }: ReturnType<typeof recordAll>) => record?.actionHistory ?? [];
const conflicts = ({ record }: ReturnType<typeof recordAll>) => record?.conflicts ?? [];
const name = ({ eventId, fingerprint }: { eventId: string; fingerprint: string }) =>
  `${eventId} ${fingerprint}`;

/** Apart from what depends on arrival: the place in the history, and which delivery it was. */
const factsOf = (result: ReturnType<typeof recordAll>) =>
  history(result)
    .map(({ n: _, deliveries: __, ...fact }) => fact)
    .sort((left, right) => (left.eventId < right.eventId ? -1 : 1));

const stateOf = (result: ReturnType<typeof recordAll>) => ({
  ...result.state,
  anomalies: result.state?.anomalies.map(
    ({ n, code }) => `${history(result).find((entry) => entry.n === n)?.eventId} ${code}`,
  ),
});

describe('events that come repeatedly, in any order and in any batches', () => {
  const distinct = facts(99).map((list) => list.map((event, i) => ({ ...event, eventId: `event-${i}` })));

  test('end in the facts and the state that they have in one batch', () => {
    fc.assert(
      fc.property(anyDeliveries(distinct), ({ events, deliveries, sizes, readings }) => {
        const together = recordAll([events]);
        const split = recordAll(batchesOf(deliveries, sizes), readings);

        expect(factsOf(split)).toEqual(factsOf(together));
        expect(stateOf(split)).toEqual(stateOf(together));
        expect(split.state).toEqual(foldTransaction(history(split)));
      }),
      { numRuns: 300 },
    );
  });

  test('are applied exactly once each, numbered without a gap', () => {
    fc.assert(
      fc.property(anyDeliveries(distinct), ({ events, deliveries, sizes, readings }) => {
        const result = recordAll(batchesOf(deliveries, sizes), readings);
        const count = (kind: string) => result.decisions.filter((decision) => decision.kind === kind).length;

        expect(result.decisions.length).toBe(deliveries.length);
        expect(count('applied')).toBe(events.length);
        expect(count('duplicate')).toBe(deliveries.length - events.length);
        expect(history(result).map(({ n }) => n)).toEqual(events.map((_, index) => index + 1));
      }),
      { numRuns: 300 },
    );
  });

  test('with several contents under one id have one of them recorded and every other kept as a conflict', () => {
    fc.assert(
      fc.property(anyDeliveries(facts(3)), ({ events, deliveries, sizes, readings }) => {
        const result = recordAll(batchesOf(deliveries, sizes), readings);

        const recorded = history(result);
        expect(new Set(recorded.map(({ eventId }) => eventId)).size).toBe(recorded.length);
        expect([...recorded, ...conflicts(result)].map(name).sort()).toEqual(events.map(name).sort());
        for (const { eventId, recordedFingerprint } of conflicts(result)) {
          expect(recorded.map(name)).toContain(name({ eventId, fingerprint: recordedFingerprint }));
        }
        expect(result.state).toEqual(foldTransaction(recorded));
      }),
      { numRuns: 300 },
    );
  });
});
