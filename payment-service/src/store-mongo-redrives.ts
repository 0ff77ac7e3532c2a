import mongoose from 'mongoose';
import type { Redrive, RedriveStore, StoredRedrive } from './redrive-store.ts';
import { guarded, type MongoLink } from './store-mongo-connection.ts';

type RedriveDocument = Redrive & { _id: mongoose.Types.ObjectId };

/** The record of redrives in MongoDB, collection `redrives`: one document each. */
export function createMongoRedrives({ link }: { link: MongoLink }): RedriveStore {
  const redrives = () => link.collection<RedriveDocument>('redrives');
  const ensureIndex = link.indexOnce(() =>
    redrives().createIndexes([{ key: { letter: 1, _id: -1 } }, { key: { sequence: 1, _id: -1 } }]),
  );

  return {
    begin: (redrive) =>
      guarded(async () => {
        await ensureIndex();
        const _id = new mongoose.Types.ObjectId();
        await redrives().insertOne({ _id, ...redrive, result: null });
        return _id.toHexString();
      }),
    finish: (id, result) =>
      guarded(async () => {
        await redrives().updateOne({ _id: new mongoose.Types.ObjectId(id) }, { $set: { result } });
      }),
    latestOf: (letters) =>
      guarded(async () => {
        const found = await redrives()
          .aggregate<{ latest: RedriveDocument }>([
            { $match: { letter: { $in: [...letters] } } },
            { $sort: { letter: 1, _id: -1 } },
            { $group: { _id: '$letter', latest: { $first: '$$ROOT' } } },
          ])
          .toArray();
        return new Map(found.map(({ latest }) => [latest.letter, toRedrive(latest)]));
      }),
    list: ({ sequence, letter, limit, before }) =>
      guarded(async () => {
        const found = await redrives()
          .find({
            ...(sequence === undefined ? {} : { sequence }),
            ...(letter === undefined ? {} : { letter }),
            ...(before === undefined ? {} : { _id: { $lt: new mongoose.Types.ObjectId(before) } }),
          })
          .sort({ _id: -1 })
          .limit(limit + 1)
          .toArray();
        const items = found.slice(0, limit).map(toRedrive);
        return { items, next: found.length > limit ? items.at(-1)?.id : undefined };
      }),
  };
}

function toRedrive({ _id, ...redrive }: RedriveDocument): StoredRedrive {
  return { id: _id.toHexString(), ...redrive };
}
