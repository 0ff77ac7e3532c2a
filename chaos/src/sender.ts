import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Attempt, Webhook } from './history.ts';
import type { Sending } from './load.ts';
import { post } from './post.ts';

/** A third party: sends each webhook until it is answered 200, and writes everything down. */
export interface Sender {
  webhooks: readonly Webhook[];
  attempts: readonly Attempt[];
  /** One request. */
  attempt(webhook: Webhook, gateway: number): Promise<Attempt>;
  /** Again until it is answered 200; undefined when the sender was stopped first. */
  send(webhook: Webhook, gateway: number): Promise<Attempt | undefined>;
  /** Webhooks that are not yet answered 200. */
  waiting(): number;
  /** Resolves when everything is answered, or the time is over. */
  finish(withinMs: number): Promise<void>;
  /** At once: what waits for an answer gives up. */
  stop(): void;
}

const againMs = { first: 200, longest: 2_000 };
/** Over it nothing new is begun: a bound for the harness, not for the system. */
const waitingMax = 600;

/** The gateways by their addresses, in the order of their names. */
export function createSender(urls: readonly string[]): Sender {
  const webhooks = new Map<string, Webhook>();
  const attempts: Attempt[] = [];
  const stopping = new AbortController();
  // One for each request that is under way, which is no leak.
  setMaxListeners(0, stopping.signal);
  let waiting = 0;

  const attempt: Sender['attempt'] = async (webhook, gateway) => {
    webhooks.set(webhook.label, webhook);
    const place = gateway % urls.length;
    const sentAtMs = performance.now();
    const answer = await post(`${urls[place]}/webhooks/x-payment`, webhook, stopping.signal);
    const done: Attempt = {
      label: webhook.label,
      gateway: `gateway-${place + 1}`,
      sentAtMs,
      endedAtMs: performance.now(),
      answer,
    };
    // Who gives up at the end of a run knows nothing, and says nothing.
    if (!stopping.signal.aborted) attempts.push(done);
    return done;
  };
  const send: Sender['send'] = async (webhook, gateway) => {
    waiting += 1;
    try {
      let waitMs = againMs.first;
      for (let turn = gateway; !stopping.signal.aborted; turn += 1) {
        const done = await attempt(webhook, turn);
        if (done.answer.kind === 'stored') return done;
        await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => undefined);
        waitMs = Math.min(waitMs * 2, againMs.longest);
      }
      return undefined;
    } finally {
      waiting -= 1;
    }
  };
  return {
    get webhooks() {
      return [...webhooks.values()];
    },
    attempts,
    attempt,
    send,
    waiting: () => waiting,
    finish: async (withinMs) => {
      const deadline = performance.now() + withinMs;
      while (waiting > 0 && performance.now() < deadline) await sleep(50);
      stopping.abort();
    },
    stop: () => stopping.abort(),
  };
}

export interface RunningLoad {
  /** Begins nothing more. */
  stop(): void;
}

/** Begins transactions at this rate until it is stopped. */
export function startLoad(sender: Sender, load: Iterator<Sending[]>, perSecond: number): RunningLoad {
  const stopping = new AbortController();
  const { signal } = stopping;
  setMaxListeners(0, signal);

  const begin = async ({ afterMs, webhook, gateway }: Sending) => {
    await sleep(afterMs, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) await sender.send(webhook, gateway);
  };
  const run = async () => {
    let dueAtMs = performance.now();
    while (!signal.aborted) {
      if (sender.waiting() < waitingMax) for (const sending of load.next().value) void begin(sending);
      dueAtMs += 1_000 / perSecond;
      await sleep(Math.max(0, dueAtMs - performance.now()), undefined, { signal }).catch(() => undefined);
    }
  };
  void run();
  return { stop: () => stopping.abort() };
}
