import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface CannonOptions {
  url: string;
  connections: number;
  seconds: number;
  /** All connections together; left out: each sends as soon as it has its answer. */
  perSecond?: number;
  /** Takes a line `<txId> <answered at>` for each 200. */
  answersFile?: string;
  /** Webhooks of Stripe, signed with this; left out: of `x-payment`, unsigned. */
  stripeSecret?: string;
}

export interface CannonResult {
  /** Answered 200. */
  ok: number;
  /** Answered 503. */
  refused: number;
  /** Answered otherwise, or not at all. */
  failed: number;
  seconds: number;
  perSecond: number;
  /** Milliseconds; with a rate, counted from when a request was due and not from when it was sent. */
  p50: number;
  p99: number;
  worst: number;
  /** Of one core, by the load generator itself: near 1, it is what is measured. */
  busy: number;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Load from a process of its own, so that it does not share a thread with what measures; as it is built. */
export async function shoot(options: CannonOptions): Promise<CannonResult> {
  const script = ['bench/dist/cannon.js', JSON.stringify(options)];
  const { stdout } = await promisify(execFile)(process.execPath, script, { cwd: root });
  return JSON.parse(stdout);
}
