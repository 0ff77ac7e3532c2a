import { createReadStream, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { quantile, readSettled, type Service } from '@paystream/local';
import type { Size } from './arguments.ts';
import type { Rig } from './rig.ts';
import { clear, startGateway, startPayments, untilDrained, withMongo } from './services.ts';
import { type CannonResult, shoot } from './shoot.ts';

export interface FlowSettings {
  connections: number;
  /** For finding the capacity. */
  searchSeconds: number;
  /** For each share of the capacity. */
  seconds: number;
  shares: number[];
}

export function flowSettings(size: Size): FlowSettings {
  if (size === 'small') return { connections: 4, searchSeconds: 1, seconds: 1, shares: [0.5] };
  return {
    connections: 64,
    searchSeconds: 15,
    seconds: size === 'full' ? 60 : size,
    shares: [0.5, 0.8, 1.2],
  };
}

export interface FlowResult {
  /** Webhooks a second that both services take from the first request to the last written transaction. */
  capacity: number;
  runs: FlowRun[];
}

export interface FlowRun {
  share: number;
  askedPerSecond: number;
  okPerSecond: number;
  refused: number;
  failed: number;
  /** Answered 200 and not in the database after the queue was empty; must be 0. */
  lost: number;
  answerMs: { p50: number; p99: number };
  /** From the 200 until the transaction is written and can be read. */
  readableMs: { p50: number; p99: number; worst: number };
  /** From the end of the load until the queue was empty. */
  catchUpMs: number;
}

export async function runFlow(
  rig: Rig,
  settings: FlowSettings,
  say: (line: string) => void,
): Promise<FlowResult> {
  await clear(rig);
  const gateway = await startGateway(rig);
  const payments = await startPayments(rig);
  await Promise.all([gateway.ready(), payments.ready()]);
  const load = { url: `${gateway.url}/webhooks/x-payment`, connections: settings.connections };

  await shoot({ ...load, seconds: Math.min(3, settings.searchSeconds) });
  await untilDrained(rig);
  const startedAt = performance.now();
  const { ok } = await shoot({ ...load, seconds: settings.searchSeconds });
  await untilDrained(rig);
  const capacity = Math.round((ok * 1_000) / (performance.now() - startedAt));
  say(`capacity: ${capacity} webhooks a second`);

  const runs: FlowRun[] = [];
  for (const share of settings.shares) {
    const perSecond = Math.max(settings.connections, Math.round(capacity * share));
    runs.push(await runShare(rig, share, { ...load, seconds: settings.seconds, perSecond }));
    say(`${share * 100} %: ${Math.round(runs.at(-1)?.okPerSecond ?? 0)}/s`);
  }
  await stopAll(gateway, payments);
  return { capacity, runs };
}

async function stopAll(...services: Service[]): Promise<void> {
  for (const service of services) await service.stop();
}

async function runShare(
  rig: Rig,
  share: number,
  load: { url: string; connections: number; seconds: number; perSecond: number },
): Promise<FlowRun> {
  const answersFile = join(rig.folder, 'answers');
  const shot: CannonResult = await shoot({ ...load, answersFile });
  const endedAt = performance.now();
  await untilDrained(rig);
  const catchUpMs = Math.round(performance.now() - endedAt);
  const answers = readAnswers(answersFile);
  const applied = await readLog(join(rig.folder, 'payment-service.log'), answers);
  const late = [...answers].flatMap(([txId, answeredAt]) => {
    const appliedAt = applied.get(txId);
    return appliedAt === undefined ? [] : [Math.max(0, appliedAt - answeredAt)];
  });
  rmSync(answersFile);
  return {
    share,
    askedPerSecond: load.perSecond,
    okPerSecond: shot.perSecond,
    refused: shot.refused,
    failed: shot.failed,
    lost: await countLost(rig.mongoUri, answers),
    answerMs: { p50: shot.p50, p99: shot.p99 },
    readableMs: { p50: quantile(late, 0.5), p99: quantile(late, 0.99), worst: quantile(late, 1) },
    catchUpMs,
  };
}

function readAnswers(file: string): Map<string, number> {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return new Map(lines.map((line) => [line.slice(0, 36), Number(line.slice(37))]));
}

/** When each transaction was written, as the service says after the database has confirmed it. */
async function readLog(file: string, wanted: ReadonlyMap<string, number>): Promise<Map<string, number>> {
  const applied = new Map<string, number>();
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const settled = readSettled(line);
    if (settled !== undefined && wanted.has(settled.txId)) applied.set(settled.txId, settled.appliedAt);
  }
  return applied;
}

/** Reads every transaction that there is. */
function countLost(mongoUri: string, answers: ReadonlyMap<string, number>): Promise<number> {
  return withMongo(mongoUri, async (mongo) => {
    const missing = new Set(answers.keys());
    const stored = mongo
      .db()
      .collection('transactions')
      .find({}, { projection: { txId: 1, actionHistory: 1 } });
    for await (const { txId, actionHistory } of stored) if (actionHistory.length === 1) missing.delete(txId);
    return missing.size;
  });
}
