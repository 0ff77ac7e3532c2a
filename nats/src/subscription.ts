import { describeError, type Log, type PassPoint, passBy } from '@paystream/runtime';
import type { BrokerConnection } from './connection.ts';
import { publishDeadLetter } from './dead-letter.ts';
import { type Delivery, placedOf, type Taken, toDelivery, traceIdIn, verdicts } from './delivery.ts';
import {
  createIntake,
  giveBackAfterMs,
  letGo,
  pauseIntake,
  pullOnce,
  pullUntilStopped,
  reply,
  resumeIntake,
  stopIntake,
  takeHeld,
  whenResumed,
} from './held.ts';
import { ackWaitMs as ackWaitOfConsumersMs, type WorkQueueName, workQueues } from './streams.ts';

export type { Delivery } from './delivery.ts';

/** What becomes of a delivery. */
export type Settlement =
  | { kind: 'ack' }
  /** It failed: it comes again after a delay that grows with every delivery. */
  | { kind: 'retry'; detail: string }
  /** It was not tried: it comes again soon, or at once where another process shall have it. */
  | { kind: 'release'; at?: 'soon' | 'once' }
  /** Both errors where it was tried several times. */
  | { kind: 'dead-letter'; reason: string; detail: string; firstError?: string; lastError?: string };

/** `kept` means that it could not be done now: the message stays in the stream and comes again. */
export type Settled = 'acked' | 'retry-later' | 'dead-lettered' | 'kept';

export interface SubscriptionState {
  pulling: boolean;
  detail: string;
  /** The reasons for which it is paused; none: it pulls as soon as the broker lets it. */
  pausedFor: string[];
  /** False while dead letters find no room or no stream. */
  deadLettersTaken: boolean;
  /** Messages that the broker has handed out to us and that are not settled, taken or not. */
  held: number;
}

export interface Subscription {
  /** One pull: asks for at most as many messages as there is room for, waits at most `pullForMs` for them. */
  pullOnce(): Promise<void>;
  /** Pulls until it is stopped. Rejects only on a programming error. */
  run(): Promise<void>;
  /** The next messages, at least one and at most `max`; none when it was paused or stopped. */
  take(max: number): Promise<Delivery[]>;
  /** Settles a delivery that was taken here; once, or it throws. */
  settle(delivery: Delivery, settlement: Settlement): Promise<Settled>;
  /** Puts off the moment at which the broker hands out again what was taken here. False: it was not heard, or is settled. */
  stillWorking(delivery: Delivery): boolean;
  /**
   * Stops pulling for a reason, beside others. What is held but not taken is given back with a delay, or stays here
   * where every standing reason has `keepHeld`: the broker is then told of it, so that it is not handed out again.
   */
  pause(reason: string, options?: { keepHeld?: boolean }): void;
  /** Takes the reason away; pulling goes on when it was the last. */
  resume(reason: string): void;
  /** Resolves when there is no reason to be paused, or it was stopped: what to wait for when `take` gave nothing. */
  whenResumed(): Promise<void>;
  /** Stops pulling, gives back at once what is not taken, and resolves when nothing more can arrive. */
  stop(): Promise<void>;
  state(): SubscriptionState;
}

export interface SubscriptionOptions {
  broker: BrokerConnection;
  log: Log;
  /** Messages in memory; each is given back by the broker after the ack wait if the process dies. */
  heldMax?: number;
  /** The bytes of those. */
  heldBytesMax?: number;
  /** What is pulled: live events, or what was set aside. */
  from?: WorkQueueName;
  /** The consumer's, where it is another than ours. */
  ackWaitMs?: number;
  /** How long a message waits that has failed, by its deliveries. */
  retryDelay?: (deliveries: number) => number;
  pass?: PassPoint;
}

// Two thousand usual messages are 1 MB; of the largest, with the body of a webhook beside the event, it is about a hundred.
const defaultHeldBytesMax = 33_554_432;
// A refused dead letter comes again within 72 s; when it does not, another instance has put it aside.
const refusedForMs = 120_000;

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
export function createSubscription({
  broker,
  log,
  heldMax = 2_000,
  heldBytesMax = defaultHeldBytesMax,
  from = 'payment',
  ackWaitMs = ackWaitOfConsumersMs,
  retryDelay = retryDelayMs,
  pass = passBy,
}: SubscriptionOptions): Subscription {
  const intake = createIntake({ broker, log, queue: workQueues[from], heldMax, heldBytesMax, ackWaitMs });
  // Weak, and it holds nothing else: whoever was in it goes when nobody else has it.
  const taken = new WeakSet<Delivery>();
  const isTaken = (delivery: Delivery): delivery is Taken => taken.has(delivery);
  let running: Promise<void> | undefined;
  let refusedAtMs = Number.NEGATIVE_INFINITY;

  const take: Subscription['take'] = async (max) => {
    const messages = await takeHeld(intake, max);
    return messages.map((placed) => {
      const delivery = toDelivery(placed, from);
      taken.add(delivery);
      return delivery;
    });
  };

  const settle: Subscription['settle'] = async (delivery, settlement) => {
    if (!isTaken(delivery)) throw new Error('only what was taken here, and only once, can be settled');
    const placed = placedOf(delivery);
    taken.delete(delivery);
    const say = (verdict: string, settled: Settled) => {
      letGo(intake, placed);
      return reply(intake, placed, verdict) ? settled : 'kept';
    };
    switch (settlement.kind) {
      case 'ack':
        return say(verdicts.ack, 'acked');
      case 'retry':
        return say(verdicts.nak(retryDelay(delivery.deliveries)), 'retry-later');
      case 'release':
        await intake.quiet;
        return say(verdicts.nak(settlement.at === 'once' ? 0 : giveBackAfterMs), 'retry-later');
      case 'dead-letter': {
        const refused = await refusalOf(publishDeadLetter(broker, { delivery, ...settlement }));
        refusedAtMs = refused === undefined ? Number.NEGATIVE_INFINITY : performance.now();
        // Only what is stored among the dead letters may leave the work queue.
        if (refused === undefined) {
          pass('between-dead-letter-and-term');
          return say(verdicts.term(settlement.reason), 'dead-lettered');
        }
        const { reason } = settlement;
        const event = { sequence: delivery.sequence, traceId: traceIdIn(delivery) };
        log.error({ ...event, reason, error: refused }, 'dead-letter.refused');
        return say(verdicts.nak(retryDelay(delivery.deliveries)), 'kept');
      }
      default:
        return settlement satisfies never;
    }
  };

  return {
    pullOnce: () => pullOnce(intake),
    run: () => {
      running ??= pullUntilStopped(intake);
      return running;
    },
    take,
    settle,
    stillWorking: (delivery) => isTaken(delivery) && reply(intake, placedOf(delivery), verdicts.working),
    pause: (reason, { keepHeld = false } = {}) => pauseIntake(intake, reason, { keepHeld }),
    resume: (reason) => resumeIntake(intake, reason),
    whenResumed: () => whenResumed(intake),
    stop: async () => {
      await stopIntake(intake);
      await running;
    },
    state: () => ({
      pulling: intake.pulling,
      detail: intake.detail,
      pausedFor: [...intake.reasons.keys()],
      deadLettersTaken: performance.now() - refusedAtMs > refusedForMs,
      held: intake.inHand.size,
    }),
  };
}

async function refusalOf(work: Promise<void>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}
