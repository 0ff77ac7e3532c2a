import type { Log } from '@paystream/runtime';
import { type Consumer, type JsMsg, NatsError } from 'nats';
import type { BrokerConnection } from './connection.ts';
import { publishDeadLetter } from './dead-letter.ts';
import { paymentConsumerName, paymentStreamName } from './streams.ts';

/** One attempt to hand a message to us. */
export interface Delivery {
  subject: string;
  data: Uint8Array;
  header(name: string): string | undefined;
  /** The broker's clock when it was stored: one clock for all gateways. */
  storedAt: Date;
  /** Its place in the stream. */
  sequence: number;
  /** 1 for the first attempt. */
  deliveries: number;
}

/** What becomes of a delivery. */
export type Settlement =
  | { kind: 'ack' }
  | { kind: 'retry'; detail: string }
  | { kind: 'dead-letter'; reason: string; detail: string };

/** `kept` means that it could not be done now: the message stays in the stream and comes again. */
export type Settled = 'acked' | 'retry-later' | 'dead-lettered' | 'kept';

export interface SubscriptionState {
  pulling: boolean;
  detail: string;
  /** False when the last dead letter found no room or no stream. */
  deadLettersTaken: boolean;
}

export interface Subscription {
  /** One pull: fetches at most as many messages as there is room for, waits at most `pullForMs` for them. */
  pullOnce(): Promise<void>;
  /** Pulls until it is stopped. Rejects only on a programming error. */
  run(): Promise<void>;
  /** The next messages, at least one and at most `max`; none when it was paused or stopped. */
  take(max: number): Promise<Delivery[]>;
  settle(delivery: Delivery, settlement: Settlement): Promise<Settled>;
  /** Stops pulling and gives back, with a delay, what is held but not taken. */
  pause(detail: string): void;
  resume(): void;
  /** Stops pulling, gives back at once what is not taken, and resolves when nothing more can arrive. */
  stop(): Promise<void>;
  state(): SubscriptionState;
}

export interface SubscriptionOptions {
  broker: BrokerConnection;
  log: Log;
  /** Messages in memory; each is given back by the broker after the ack wait if the process dies. */
  heldMax?: number;
}

// Short, so that a stop waits no longer than this for the last pull to run out: what arrives until then is given back.
const pullForMs = 2_000;
const lookAgainMs = 500;
const giveBackAfterMs = 1_000;
const retryDelaysMs = [1_000, 5_000, 15_000, 30_000, 60_000] as const;

/** How long a failed message waits before it comes again: longer each time, ±20 % so that a crowd spreads out. */
export function retryDelayMs(deliveries: number, random: () => number = Math.random): number {
  const base = retryDelaysMs[Math.min(deliveries, retryDelaysMs.length) - 1] ?? retryDelaysMs[0];
  return Math.round(base * (0.8 + 0.4 * random()));
}

/**
 * Pulls the work queue, hands the messages over, and settles each once. Pulls are short and renewed one by one,
 * never more than there is room for, so a restarted broker or a deleted consumer is met at the next pull.
 */
export function createSubscription({ broker, log, heldMax = 2_000 }: SubscriptionOptions): Subscription {
  const held: JsMsg[] = [];
  const messages = new WeakMap<Delivery, JsMsg>();
  let mode: Mode = 'pulling';
  const isIn = (asked: Mode) => mode === asked;
  let state: SubscriptionState = { pulling: false, detail: 'not started', deadLettersTaken: true };
  let consumer: Consumer | undefined;
  const changed = createBell();
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  broker.onChange(() => {
    consumer = undefined;
    changed.ring();
  });

  const report = (pulling: boolean, detail: string) => {
    if (state.pulling !== pulling || state.detail !== detail) {
      log[pulling || mode !== 'pulling' ? 'info' : 'warn'](
        { detail },
        pulling ? 'consumer.pulling' : 'consumer.waiting',
      );
    }
    state = { ...state, pulling, detail };
  };

  const arrive = (message: JsMsg) => {
    if (mode === 'pulling') held.push(message);
    else message.nak(mode === 'paused' ? giveBackAfterMs : 0);
    changed.ring();
  };

  const pullOnce = async () => {
    const room = heldMax - held.length;
    if (room <= 0 || mode !== 'pulling') return;
    const connection = await broker.whenUp(stopping.signal);
    consumer ??= await connection.jetstream().consumers.get(paymentStreamName, paymentConsumerName);
    const fetched = await consumer.fetch({ max_messages: room, expires: pullForMs });
    report(true, `pulling from ${paymentConsumerName}`);
    // A fetch outlives the connection it was made on; the next one must not wait for it.
    const stopListening = broker.onChange(() => fetched.stop());
    try {
      for await (const message of fetched) arrive(message);
    } finally {
      stopListening();
    }
  };

  const run = async () => {
    while (!isIn('stopped')) {
      try {
        await pullOnce();
        while (isIn('paused') || (isIn('pulling') && held.length >= heldMax)) await changed.next();
      } catch (error) {
        if (isIn('stopped')) return;
        consumer = undefined;
        report(false, describePullError(error));
        await changed.next(lookAgainMs);
      }
    }
  };

  const giveBack = (delayMs: number) => {
    for (const message of held.splice(0)) message.nak(delayMs);
    changed.ring();
  };

  const moveToDeadLetters = async (delivery: Delivery, message: JsMsg, reason: string, detail: string) => {
    try {
      await publishDeadLetter(broker, delivery, message, { reason, detail });
    } catch (error) {
      state = { ...state, deadLettersTaken: false };
      log.error({ sequence: delivery.sequence, reason, error: String(error) }, 'dead-letter.refused');
      message.nak(retryDelayMs(delivery.deliveries));
      return 'kept';
    }
    state = { ...state, deadLettersTaken: true };
    message.term(reason);
    return 'dead-lettered';
  };

  return {
    pullOnce,
    run: () => {
      running ??= run();
      return running;
    },
    take: async (max) => {
      while (held.length === 0) {
        if (mode !== 'pulling') return [];
        await changed.next();
      }
      const taken = held.splice(0, max).map((message) => {
        const delivery = toDelivery(message);
        messages.set(delivery, message);
        return delivery;
      });
      changed.ring();
      return taken;
    },
    settle: async (delivery, settlement) => {
      const message = messages.get(delivery);
      if (message === undefined) throw new Error('only a delivery that was taken here can be settled');
      switch (settlement.kind) {
        case 'ack':
          message.ack();
          return 'acked';
        case 'retry':
          message.nak(retryDelayMs(delivery.deliveries));
          return 'retry-later';
        case 'dead-letter':
          return moveToDeadLetters(delivery, message, settlement.reason, settlement.detail);
        default:
          return settlement satisfies never;
      }
    },
    pause: (detail) => {
      if (mode !== 'pulling') return;
      mode = 'paused';
      report(false, detail);
      giveBack(giveBackAfterMs);
    },
    resume: () => {
      if (mode !== 'paused') return;
      mode = 'pulling';
      changed.ring();
    },
    stop: async () => {
      mode = 'stopped';
      stopping.abort();
      giveBack(0);
      await running;
    },
    state: () => state,
  };
}

function toDelivery(message: JsMsg): Delivery {
  return {
    subject: message.subject,
    data: message.data,
    header: (name) => message.headers?.get(name) || undefined,
    storedAt: new Date(Math.floor(message.info.timestampNanos / 1_000_000)),
    sequence: message.seq,
    deliveries: message.info.deliveryCount,
  };
}

function describePullError(error: unknown): string {
  if (error instanceof NatsError && error.api_error?.code === 404) {
    return `${error.message}; create it with: npm run provision`;
  }
  return error instanceof Error ? error.message : String(error);
}

type Mode = 'pulling' | 'paused' | 'stopped';

/** A bell that wakes whoever waits at the time it rings. */
function createBell() {
  const waiting = new Set<() => void>();
  return {
    ring: () => {
      for (const wake of [...waiting]) wake();
    },
    next: (withinMs?: number) =>
      new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve();
        };
        const timer = withinMs === undefined ? undefined : setTimeout(wake, withinMs);
        waiting.add(wake);
      }),
  };
}
