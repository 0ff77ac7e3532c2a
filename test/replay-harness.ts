import { createHash } from 'node:crypto';
import type { Service } from '@paystream/local';
import { eventually, post, webhook } from './harness.ts';

/** An operator's token, and how the service knows it. */
export const operatorToken = 'test-operator-token';
export const operatorTokens = `tester:operator:${createHash('sha256').update(operatorToken).digest('hex')}`;

export interface Applied {
  txId: string;
  storedAt: number;
  appliedAt: number;
  deliveries: number;
  outcome: string;
  sequence: number;
}

/** What a service says that it has applied, in the order in which it did. */
export function appliedBy(...services: readonly Service[]): Applied[] {
  const lines = services.flatMap(({ lines: all }) =>
    all.filter((line) => line.includes('"message.settled"')),
  );
  return lines
    .map((line) => JSON.parse(line))
    .map(({ time, storedAt, txId, deliveries, outcome, sequence }) => ({
      txId,
      outcome,
      deliveries,
      sequence,
      storedAt: Date.parse(storedAt),
      appliedAt: Date.parse(time),
    }))
    .sort((left, right) => left.appliedAt - right.appliedAt);
}

/** Sends that many webhooks on an absolute schedule, and gives their transactions. */
export async function sendPaced(
  gateway: Service,
  { count, gapMs }: { count: number; gapMs: number },
): Promise<string[]> {
  const startedAt = performance.now();
  const sent: Promise<unknown>[] = [];
  const txIds: string[] = [];
  for (let index = 0; index < count; index += 1) {
    await eventually(() => performance.now() - startedAt, {
      every: 1,
      within: 60_000,
      until: (elapsed) => elapsed >= index * gapMs,
    });
    const body = webhook();
    txIds.push(body.txId);
    sent.push(post(gateway, body));
  }
  await Promise.all(sent);
  return txIds;
}

/** How the gaps between applications differ from those between storings. */
export function rhythm(applied: readonly Applied[], speed = 1) {
  const first = applied[0];
  const last = applied.at(-1);
  if (first === undefined || last === undefined) throw new Error('nothing was applied');
  const gapErrors = applied.slice(1).map((item, index) => {
    const before = applied[index] ?? item;
    return Math.abs(item.appliedAt - before.appliedAt - (item.storedAt - before.storedAt) / speed);
  });
  const sorted = gapErrors.toSorted((left, right) => left - right);
  return {
    spanMs: last.appliedAt - first.appliedAt,
    originalMs: last.storedAt - first.storedAt,
    gapErrorMaxMs: Math.max(...gapErrors),
    gapErrorP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  };
}
