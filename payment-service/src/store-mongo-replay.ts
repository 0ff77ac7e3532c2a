import type { mongo } from 'mongoose';
import type { Followed, ReplayChange, ReplayStore } from './replay-store.ts';
import { guarded, type MongoLink } from './store-mongo-connection.ts';

interface ReplayDocument {
  _id: string;
  change?: ReplayChange;
  lease?: { owner: string; until: Date };
}

const id = { _id: 'replay' };

/** The replay's document in MongoDB. The lease is judged by the database's clock alone: no two instances differ about it. */
export function createMongoReplayStore(link: MongoLink): ReplayStore {
  const settings = () =>
    link.connection.getClient().db(link.connection.name).collection<ReplayDocument>('settings');

  return {
    follow: ({ owner, candidate, leaseMs }) =>
      guarded(async () => {
        const found = candidate ? await takeLease(settings(), owner, leaseMs) : await settings().findOne(id);
        return toFollowed(found, owner);
      }),
    release: (owner) =>
      guarded(async () => {
        await settings().updateOne({ ...id, 'lease.owner': owner }, { $unset: { lease: '' } });
      }),
    save: (change) =>
      guarded(async () => {
        await settings().updateOne(id, { $set: { change } }, { upsert: true, ignoreUndefined: true });
      }),
  };
}

/** One atomic step: it is ours when it was ours, when nobody has it, or when its time is over. */
async function takeLease(
  settings: mongo.Collection<ReplayDocument>,
  owner: string,
  leaseMs: number,
): Promise<ReplayDocument | null> {
  const isFree = {
    $or: [{ $eq: ['$lease.owner', owner] }, { $lte: [{ $ifNull: ['$lease.until', '$$NOW'] }, '$$NOW'] }],
  };
  const ours = { owner, until: { $add: ['$$NOW', leaseMs] } };
  return settings.findOneAndUpdate(id, [{ $set: { lease: { $cond: [isFree, ours, '$lease'] } } }], {
    upsert: true,
    returnDocument: 'after',
  });
}

function toFollowed(found: ReplayDocument | null, owner: string): Followed {
  const { setting, changedBy, changedAt, reason } = found?.change ?? {};
  const known =
    setting !== undefined && changedBy !== undefined && changedAt !== undefined && reason !== undefined;
  return {
    change: known ? { setting, changedBy, changedAt, reason } : undefined,
    leads: found?.lease?.owner === owner,
  };
}
