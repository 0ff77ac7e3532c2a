import type { BrokerConnection, Delivery, PaymentPosition, Settlement, Subscription } from '@paystream/nats';
import { createBell } from '@paystream/runtime';

/** A delivery by its stored time; the messages of a test have the sequences of their times. */
export function deliveryOf(
  storedAtMs: number,
  {
    deliveries = 1,
    sequence = storedAtMs,
    bytes = 0,
  }: { deliveries?: number; sequence?: number; bytes?: number } = {},
): Delivery {
  return {
    subject: 'payments.new',
    data: new Uint8Array(bytes),
    header: () => undefined,
    headers: new Map(),
    storedAt: new Date(storedAtMs),
    sequence,
    deliveries,
    from: 'backlog',
  };
}

export const deliveriesAt = (...storedAtMs: number[]) => storedAtMs.map((at) => deliveryOf(at));
export const timesOf = (deliveries: readonly Delivery[]) =>
  deliveries.map(({ storedAt }) => storedAt.getTime());

export interface FakeQueue extends Subscription {
  /** As if the broker handed them out. */
  put(...deliveries: Delivery[]): void;
  /** How many nobody has taken. */
  waiting(): number;
  settled: { storedAtMs: number; settlement: Settlement }[];
  /** The stored times that were said to be in work since the last look. */
  working(): number[];
  /** The reasons for which it stands. */
  reasons: Map<string, { keepHeld?: boolean }>;
}

/** A work queue in memory, without a broker: it hands out what a test puts in, and writes down what becomes of it. */
export function createFakeQueue(): FakeQueue {
  const ready: Delivery[] = [];
  const wakes = new Set<() => void>();
  const reasons = new Map<string, { keepHeld?: boolean }>();
  const settled: FakeQueue['settled'] = [];
  let saidWorking: number[] = [];
  let stopped = false;
  const wake = () => {
    for (const one of wakes) one();
    wakes.clear();
  };
  const runs = () => !stopped && reasons.size === 0;
  const unused = () => Promise.reject(new Error('not part of this fake'));

  return {
    put: (...deliveries) => {
      ready.push(...deliveries);
      wake();
    },
    waiting: () => ready.length,
    settled,
    reasons,
    working: () => {
      const said = saidWorking;
      saidWorking = [];
      return said;
    },
    take: async (max) => {
      while (runs() && ready.length === 0) await new Promise<void>((resolve) => wakes.add(resolve));
      return runs() ? ready.splice(0, max) : [];
    },
    settle: async ({ storedAt }, settlement) => {
      settled.push({ storedAtMs: storedAt.getTime(), settlement });
      return settlement.kind === 'ack' ? 'acked' : 'retry-later';
    },
    stillWorking: ({ storedAt }) => {
      saidWorking.push(storedAt.getTime());
      return true;
    },
    pause: (reason, options = {}) => {
      reasons.set(reason, options);
      wake();
    },
    resume: (reason) => {
      reasons.delete(reason);
      wake();
    },
    stop: async () => {
      stopped = true;
      wake();
    },
    run: async () => undefined,
    state: () => ({
      pulling: runs(),
      detail: '',
      pausedFor: [...reasons.keys()],
      deadLettersTaken: true,
      held: ready.length,
    }),
    pullOnce: unused,
    whenResumed: unused,
  };
}

export interface FakeBroker extends Pick<BrokerConnection, 'state' | 'onChange' | 'whenUp'> {
  /** Comes or goes, and says so. */
  become(up: boolean): void;
}

export function createFakeBroker(): FakeBroker {
  const listeners = new Set<Parameters<BrokerConnection['onChange']>[0]>();
  const changed = createBell();
  let up = true;
  const state = () => ({ up, detail: up ? 'connected' : 'away' });
  return {
    become: (next) => {
      up = next;
      for (const listener of listeners) listener(state());
      changed.ring();
    },
    state,
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    whenUp: async (signal) => {
      signal?.addEventListener('abort', () => changed.ring());
      while (!up && !signal?.aborted) await changed.next();
      // Nobody here looks at the connection itself.
      return undefined as never;
    },
  };
}

/** A stream that holds these, handed out through the place given. */
export function positionOf(
  storedAtMs: readonly number[],
  { deliveredThrough = 0, askedAtMs }: { deliveredThrough?: number; askedAtMs: number },
): PaymentPosition {
  const [oldest] = storedAtMs;
  return {
    lastSequence: storedAtMs.at(-1) ?? 0,
    messages: storedAtMs.length,
    oldestStoredAt: oldest === undefined ? undefined : new Date(oldest),
    deliveredThrough,
    askedAt: new Date(askedAtMs),
  };
}
