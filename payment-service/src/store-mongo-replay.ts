import type { Log } from '@paystream/runtime';
import type { mongo } from 'mongoose';
import { z } from 'zod';
import { speedSchema } from './replay-schemas.ts';
import {
  type Candidacy,
  type Followed,
  pausables,
  type ReplayChange,
  type ReplayStore,
  replayModes,
} from './replay-store.ts';
import { isDuplicateKey, type MongoLink, waited } from './store-mongo-connection.ts';

interface ReplayDocument {
  _id: string;
  change?: ReplayChange;
  lease?: { owner: string; until: Date; settingAside: boolean; beganAt: Date | null };
}

const id = { _id: 'replay' };

/** The replay's document in MongoDB. The lease is judged by the database's clock alone: no two instances differ about it. */
export function createMongoReplayStore({ link, log }: { link: MongoLink; log: Log }): ReplayStore {
  const settings = () => link.collection<ReplayDocument>('settings');
  let said: string | undefined;

  /** What nobody can read is not obeyed, and is told once. */
  const readChange = (stored: unknown): ReplayChange | undefined => {
    if (stored === undefined) return undefined;
    const parsed = changeSchema.safeParse(stored);
    const detail = parsed.success ? undefined : z.prettifyError(parsed.error);
    if (detail !== undefined && detail !== said) log.error({ detail }, 'replay.setting-unreadable');
    said = detail;
    return parsed.data;
  };

  return {
    follow: (candidacy) =>
      waited(async () => {
        const found = await (candidacy.candidate ? takeLease(settings(), candidacy) : settings().findOne(id));
        const stamp: unknown = found?.change?.changedAt;
        return { change: readChange(found?.change), stamp, ...toFollowed(found, candidacy.owner) };
      }),
    release: (owner) =>
      waited(async () => {
        // What it says of the progress is for the successor.
        const free = [{ $set: { 'lease.owner': '', 'lease.until': '$$NOW' } }];
        await settings().updateOne({ ...id, 'lease.owner': owner }, free);
      }),
    save: (change, stamp) =>
      waited(async () => {
        const isFirst = stamp === undefined;
        const unchanged = { ...id, 'change.changedAt': isFirst ? { $exists: false } : stamp };
        try {
          const { matchedCount, upsertedCount } = await settings().updateOne(
            unchanged,
            { $set: { change } },
            { upsert: isFirst, ignoreUndefined: true },
          );
          return matchedCount + upsertedCount > 0;
        } catch (error) {
          // The document is there, with a change in it.
          if (isDuplicateKey(error)) return false;
          throw error;
        }
      }),
  };
}

const changeSchema = z.object({
  setting: z.object({
    mode: z.enum(replayModes),
    speed: speedSchema,
    finishWithinMs: z.number().positive().nullable(),
    paused: z.enum(pausables),
  }),
  changedBy: z.string(),
  changedAt: z.date(),
  reason: z.string(),
});

/** One atomic step: it is ours when it was ours, when nobody has it, or when its time is over. */
async function takeLease(
  settings: mongo.Collection<ReplayDocument>,
  { owner, leaseMs, progress }: Candidacy,
): Promise<ReplayDocument | null> {
  const isFree = {
    $or: [
      { $eq: ['$lease.owner', { $literal: owner }] },
      { $lte: [{ $ifNull: ['$lease.until', '$$NOW'] }, '$$NOW'] },
    ],
  };
  const ours = {
    owner: { $literal: owner },
    until: { $add: ['$$NOW', leaseMs] },
    settingAside: progress.settingAside,
    beganAt: progress.beganAt === undefined ? { $ifNull: ['$lease.beganAt', null] } : progress.beganAt,
  };
  const take = () =>
    settings.findOneAndUpdate(id, [{ $set: { lease: { $cond: [isFree, ours, '$lease'] } } }], {
      upsert: true,
      returnDocument: 'after',
    });
  try {
    return await take();
  } catch (error) {
    // Two instances made the document at the same time; now it is there.
    if (isDuplicateKey(error)) return take();
    throw error;
  }
}

function toFollowed(found: ReplayDocument | null, owner: string): Omit<Followed, 'change' | 'stamp'> {
  const { lease } = found ?? {};
  return {
    leads: lease?.owner === owner,
    progress: { settingAside: lease?.settingAside === true, beganAt: lease?.beganAt ?? null },
  };
}
