import { setMaxListeners } from 'node:events';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Attempt, Webhook } from './history.ts';
import type { Sending } from './load.ts';

/** A third party: sends each webhook until it is answered 200, and writes everything down. */
export interface Sender {
  webhooks: readonly Webhook[];
  attempts: readonly Attempt[];
  /** One request. */
  attempt(webhook: Webhook, gateway: number): Promise<Attempt>;
  /** Again until it is answered 200; undefined when the sender was stopped first. */
  send(webhook: Webhook, gateway: number): Promise<Attempt | undefined>;
  /** Begins transactions at this rate until it is stopped. */
  run(load: Iterator<Sending[]>, perSecond: number): void;
  /** Begins nothing more; resolves when everything is answered, or the time is over. */
  finish(withinMs: number): Promise<void>;
  /** At once: what waits for an answer gives up. */
  stop(): void;
}

/** What providers do: they give up after this, and send again. */
const answerWithinMs = 10_000;
const againMs = { first: 200, longest: 2_000 };
/** Over it nothing new is begun: a bound for the harness, not for the system. */
const waitingMax = 600;

export function createSender(urls: readonly { name: string; url: string }[]): Sender {
  const webhooks = new Map<string, Webhook>();
  const attempts: Attempt[] = [];
  const stopping = new AbortController();
  const finishing = new AbortController();
  // One for each request that is under way, which is no leak.
  setMaxListeners(0, stopping.signal, finishing.signal);
  let waiting = 0;

  const attempt: Sender['attempt'] = async (webhook, gateway) => {
    webhooks.set(webhook.label, webhook);
    const to = urls[gateway % urls.length];
    if (to === undefined) throw new Error('there is no gateway');
    const sentAtMs = performance.now();
    const answer = await post(to.url, webhook, stopping.signal);
    const done: Attempt = {
      label: webhook.label,
      gateway: to.name,
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
  const begin = async (sendings: readonly Sending[]) => {
    const startedAt = performance.now();
    await Promise.all(
      sendings.map(async ({ afterMs, webhook, gateway }) => {
        await sleep(Math.max(0, startedAt + afterMs - performance.now()));
        if (!finishing.signal.aborted) await send(webhook, gateway);
      }),
    );
  };
  const run = async (load: Iterator<Sending[]>, perSecond: number) => {
    let dueAtMs = performance.now();
    while (!finishing.signal.aborted) {
      if (waiting < waitingMax) void begin(load.next().value);
      dueAtMs += 1_000 / perSecond;
      const options = { signal: finishing.signal };
      await sleep(Math.max(0, dueAtMs - performance.now()), undefined, options).catch(() => undefined);
    }
  };

  return {
    get webhooks() {
      return [...webhooks.values()];
    },
    attempts,
    attempt,
    send,
    run: (load, perSecond) => void run(load, perSecond),
    finish: async (withinMs) => {
      finishing.abort();
      const deadline = performance.now() + withinMs;
      while (waiting > 0 && performance.now() < deadline) await sleep(50);
      stopping.abort();
    },
    stop: () => {
      finishing.abort();
      stopping.abort();
    },
  };
}

// A connection for each request: one that is kept could be closed by the other side in the moment of its next use.
const agent = new Agent({ keepAlive: false });

function post(url: string, webhook: Webhook, signal: AbortSignal): Promise<Answer> {
  const { txId, action, amount, note, webhookId } = webhook;
  const body = JSON.stringify({ txId, action, amount, note });
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(webhookId === undefined ? {} : { 'webhook-id': webhookId }),
  };
  return new Promise((resolve) => {
    const none = (detail: string) => resolve({ kind: 'none', detail });
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]);
    const asked = request(url, { method: 'POST', agent, headers, signal: timeout }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', (error) => none(error.message));
      answer.on('end', () => resolve(read(answer.statusCode ?? 0, Buffer.concat(chunks).toString())));
    });
    asked.on('error', (error) => none(error.message));
    asked.end(body);
  });
}

function read(status: number, body: string): Answer {
  if (status !== 200) return { kind: 'refused', status };
  const { duplicate, sequence } = JSON.parse(body);
  return { kind: 'stored', duplicate, sequence };
}
