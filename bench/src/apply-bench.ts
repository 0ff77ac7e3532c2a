import type { Size } from './arguments.ts';
import { bulkWriteAlone, drainByAcksAlone } from './ceilings.ts';
import { type Drained, watchDrain } from './drain.ts';
import { fillQueue } from './fill.ts';
import type { Rig } from './rig.ts';
import { clear, startPayments, withMongo } from './services.ts';
import { inRounds, type Spread, spreadOf } from './spread.ts';

export interface ApplySettings {
  transactions: number;
  eventsEach: number;
  rounds: number;
  /** The plain design is watched for no longer than this: it would take minutes for the whole. */
  plainForMs: number;
}

export function applySettings(size: Size): ApplySettings {
  // Fewer events are gone between two looks at the queue.
  if (size === 'small') return { transactions: 500, eventsEach: 4, rounds: 1, plainForMs: 1_000 };
  const events = size === 'full' ? 50_000 : size;
  return { transactions: Math.ceil(events / 4), eventsEach: 4, rounds: 3, plainForMs: 15_000 };
}

export interface ApplyResult {
  name: 'ours' | 'plain' | 'acks' | 'bulk-write';
  title: string;
  perSecond: Spread;
  /** Events that are not in the record, or are there twice; must be 0. Undefined where nothing is recorded. */
  wrong: number | undefined;
}

const things = [
  { name: 'ours', title: 'Paystream' },
  { name: 'plain', title: 'plain: find, write, acknowledge' },
  { name: 'acks', title: 'the broker: acknowledgements alone, synced' },
  { name: 'bulk-write', title: 'the database: the same writes alone' },
] as const;

const drainWithinMs = 300_000;

export async function runApply(
  rig: Rig,
  settings: ApplySettings,
  say: (line: string) => void,
): Promise<ApplyResult[]> {
  const rounds = await inRounds(things, settings.rounds, async ({ name, title }, round) => {
    const result = await runOne(rig, name, settings);
    say(`round ${round}: ${title}: ${Math.round(result.perSecond)}/s`);
    return result;
  });
  return things.map(({ name, title }, index) => {
    const results = rounds[index] ?? [];
    const wrong = results.map((result) => result.wrong).filter((count) => count !== undefined);
    return {
      name,
      title,
      perSecond: spreadOf(results.map(({ perSecond }) => perSecond)),
      wrong: wrong.length === 0 ? undefined : Math.max(...wrong),
    };
  });
}

async function runOne(
  rig: Rig,
  name: ApplyResult['name'],
  settings: ApplySettings,
): Promise<{ perSecond: number; wrong: number | undefined }> {
  if (name === 'bulk-write')
    return { perSecond: await bulkWriteAlone(rig.mongoUri, settings), wrong: undefined };
  await clear(rig);
  await fillQueue(rig.nats, settings);
  switch (name) {
    case 'ours': {
      const { perSecond } = await drainByOurs(rig);
      return { perSecond, wrong: await wrongInRecord(rig.mongoUri, settings) };
    }
    case 'plain': {
      const reader = await rig.start({
        name: 'plain-apply',
        entry: 'bench/src/plain-apply.ts',
        env: { MONGO_URI: rig.mongoUri },
      });
      const { perSecond } = await watchDrain(rig.nats, { withinMs: settings.plainForMs });
      await reader.stop();
      return { perSecond, wrong: undefined };
    }
    case 'acks':
      return { perSecond: (await drainByAcksAlone(rig.nats, drainWithinMs)).perSecond, wrong: undefined };
    default:
      return name satisfies never;
  }
}

/** What is in the queue, by a payment-service that is started now. */
async function drainByOurs(rig: Rig): Promise<Drained> {
  const service = await startPayments(rig);
  try {
    return await watchDrain(rig.nats, { withinMs: drainWithinMs });
  } finally {
    await service.stop();
  }
}

/** Every transaction is read: too few events in it count as well as too many. */
function wrongInRecord(mongoUri: string, { transactions, eventsEach }: ApplySettings): Promise<number> {
  return withMongo(mongoUri, async (mongo) => {
    const records = mongo
      .db()
      .collection('transactions')
      .find({}, { projection: { actionHistory: 1 } });
    let found = 0;
    let wrong = 0;
    for await (const { actionHistory } of records) {
      found += 1;
      wrong += Math.abs(actionHistory.length - eventsEach);
    }
    return wrong + Math.abs(transactions - found) * eventsEach;
  });
}
