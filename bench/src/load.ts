import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { atOffsets } from '@paystream/local';

export interface Sent {
  txId: string;
  /** When the 200 was here; milliseconds since 1970. */
  answeredAt: number;
}

/** Sends one webhook of a new transaction, and throws unless it is answered 200. */
export async function sendWebhook(gatewayUrl: string, txId: string): Promise<Sent> {
  const answer = await fetch(`${gatewayUrl}/webhooks/x-payment`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ txId, action: 'NEW', amount: 1_250, note: 'bench' }),
    signal: AbortSignal.timeout(10_000),
  });
  const answeredAt = Date.now();
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`a webhook was answered ${answer.status} ${text}`);
  return { txId, answeredAt };
}

/** Sends one webhook at each offset. */
export async function sendAtOffsets(gatewayUrl: string, offsetsMs: readonly number[]): Promise<Sent[]> {
  const sent: Sent[] = [];
  await atOffsets(offsetsMs, async () => {
    sent.push(await sendWebhook(gatewayUrl, randomUUID()));
  });
  return sent;
}

export interface LiveLoad {
  sent: Sent[];
  /** Ends it, and resolves when the last answer is there; rejects when a webhook was not answered 200. */
  stop(): Promise<void>;
}

/** Sends a webhook every `everyMs` until it is stopped, or `countMax` were sent. */
export function startLiveLoad(
  gatewayUrl: string,
  { everyMs, countMax }: { everyMs: number; countMax: number },
): LiveLoad {
  const sent: Sent[] = [];
  const stopping = new AbortController();
  const run = async () => {
    const startedAt = performance.now();
    const answers: Promise<unknown>[] = [];
    for (let index = 0; index < countMax && !stopping.signal.aborted; index += 1) {
      const waitMs = startedAt + index * everyMs - performance.now();
      await sleep(Math.max(0, waitMs), undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) break;
      answers.push(sendWebhook(gatewayUrl, randomUUID()).then((one) => sent.push(one)));
    }
    await Promise.all(answers);
  };
  const running = run();
  // Told by `stop`.
  running.catch(() => undefined);
  return {
    sent,
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}
