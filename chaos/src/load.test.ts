import { describe, expect, test } from '@jest/globals';
import { createLoad } from './load.ts';
import { createRandom } from './random.ts';

const take = (seed: number, count: number) => {
  const load = createLoad(createRandom(seed, 0));
  return Array.from({ length: count }, () => load.next().value);
};

describe('the load', () => {
  test('is the same for the same seed', () => {
    expect(take(7, 50)).toEqual(take(7, 50));
    expect(take(7, 50)).not.toEqual(take(8, 50));
  });

  test('names each webhook once, in its note', () => {
    const webhooks = take(7, 500).flatMap((sendings) => sendings.map(({ webhook }) => webhook));
    const labels = new Map(webhooks.map((webhook) => [webhook.label, webhook]));

    for (const webhook of webhooks) {
      expect(webhook.note).toContain(webhook.label);
      expect(labels.get(webhook.label)).toEqual(webhook);
    }
  });

  test('has repeats, reordering, conflicts, and transactions that many change at once', () => {
    const transactions = take(7, 500);
    const sendings = transactions.flat();
    const labels = transactions.map((one) => one.map(({ webhook }) => webhook.label));
    const shared = sendings.filter(({ webhook }) => webhook.webhookId?.startsWith('shared-'));

    expect(sendings.length).toBeGreaterThan(new Set(labels.flat()).size * 1.1);
    expect(labels.filter((list) => list.join() !== list.toSorted().join()).length).toBeGreaterThan(50);
    expect(shared.length).toBeGreaterThan(20);
    expect(
      transactions.filter((one) => one.length > 12 && one.every(({ afterMs }) => afterMs === 0)).length,
    ).toBeGreaterThan(5);
    expect(new Set(sendings.map(({ gateway }) => gateway))).toEqual(new Set([0, 1]));
  });
});
