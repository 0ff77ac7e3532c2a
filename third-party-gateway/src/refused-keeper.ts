import type { RefusalReason, RefusedWebhook, RefusedWebhooks } from '@paystream/nats';
import { describeError, type Log } from '@paystream/runtime';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Webhook } from './adapters/adapter.ts';
import { type Decision, inOneLine, type Source } from './source.ts';

export interface Decided {
  source: Pick<Source, 'name' | 'signatureHeaders'>;
  webhook: Webhook;
  decision: Decision;
}

/** Returns at once, whatever was decided, so that no answer waits for it or tells of it. */
export type KeepRefused = (decided: Decided) => void;

export interface RefusedKeeper {
  keep: KeepRefused;
  /** Of this process, since it started. */
  counts(): RefusedCounts;
}

export interface RefusedCounts {
  kept: number;
  /** Over the limit, or the broker did not take them. */
  notKept: number;
}

// Anybody can send garbage in the name of a source, and each one that is kept is synced to disk beside the payments: 10 a
// second take the broker some 3 ms, and 8 KiB a point let large ones come to 80 KiB a second.
const limit = { points: 100, duration: 10 };
const bytesPerPoint = 8_192;
// A broker that stands still must not make them pile up in memory: 2.5 MiB a source.
const onTheirWayMax = 10;
const tooMany = 'too many';

// Whatever an operator names as the header of a signature: these hold what opens doors.
const secretHeaders: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'x-auth-token',
]);

export interface RefusedKeeperOptions {
  refused: Pick<RefusedWebhooks, 'keep'>;
  log: Log;
  logEveryMs?: number;
  /** Told of each whether it was kept. */
  onEach?: (kept: boolean) => void;
}

/** Keeps what sources refuse, after the answer, as far as a limit for each source allows, and counts the rest. */
export function createRefusedKeeper({
  refused,
  log,
  logEveryMs = 10_000,
  onEach = () => undefined,
}: RefusedKeeperOptions): RefusedKeeper {
  const limiter = new RateLimiterMemory(limit);
  const onTheirWay = new Map<string, number>();
  const counts: RefusedCounts = { kept: 0, notKept: 0 };
  const tell = createTally(log, logEveryMs);

  const miss = (source: string, why: string) => {
    counts.notKept += 1;
    onEach(false);
    tell(source, why);
  };
  const keepNow = async (webhook: RefusedWebhook) => {
    const { source } = webhook;
    const others = onTheirWay.get(source) ?? 0;
    if (others >= onTheirWayMax) return miss(source, tooMany);
    onTheirWay.set(source, others + 1);
    try {
      if (!(await isWithin(limiter, webhook))) return miss(source, tooMany);
      await refused.keep(webhook);
      counts.kept += 1;
      onEach(true);
    } catch (error) {
      miss(source, describeError(error));
    } finally {
      onTheirWay.set(source, (onTheirWay.get(source) ?? 1) - 1);
    }
  };

  return {
    counts: () => ({ ...counts }),
    keep: ({ source, webhook, decision }) => {
      if (decision.kind === 'accepted') return;
      // The answer is written before this runs.
      setImmediate(() => {
        const { body, receivedAt } = webhook;
        const headers = keptHeaders(source.signatureHeaders, webhook.headers);
        void keepNow({ source: source.name, ...refusalOf(decision), receivedAt, headers, body });
      });
    },
  };
}

async function isWithin(limiter: RateLimiterMemory, { source, body }: RefusedWebhook): Promise<boolean> {
  try {
    await limiter.consume(source, 1 + Math.floor(body.length / bytesPerPoint));
    return true;
  } catch (full) {
    if (!(full instanceof RateLimiterRes)) throw full;
    return false;
  }
}

interface Refusal {
  reason: RefusalReason;
  detail: string;
}

/** Why it was refused, by the code of the answer. */
export function refusalOf(decision: Exclude<Decision, { kind: 'accepted' }>): Refusal {
  switch (decision.kind) {
    case 'refused':
      return { reason: decision.code, detail: '' };
    case 'malformed':
      return { reason: 'malformed-request', detail: decision.detail };
    case 'invalid':
      return { reason: 'invalid-event', detail: inOneLine(decision.errors) };
    default:
      return decision satisfies never;
  }
}

function keptHeaders(names: readonly string[], given: Webhook['headers']): Record<string, string> {
  return Object.fromEntries(
    names
      .filter((name) => !secretHeaders.has(name))
      .flatMap((name) => {
        const value = given[name];
        return typeof value === 'string' ? [[name, value]] : [];
      }),
  );
}

/** One line in a while, however many there are: an attack must not fill the log either. */
function createTally(log: Log, logEveryMs: number) {
  const missed = new Map<string, number>();
  const say = () => {
    log.warn({ missed: Object.fromEntries(missed) }, 'refused.not-kept');
    missed.clear();
  };
  return (source: string, why: string) => {
    if (missed.size === 0) setTimeout(say, logEveryMs).unref();
    const key = `${source}: ${why}`;
    missed.set(key, (missed.get(key) ?? 0) + 1);
  };
}
