import type { mongo } from 'mongoose';
import { isDuplicateKey, type MongoLink, waited } from './store-mongo-connection.ts';
import { type Attempt, attemptsMax, type Marking, type SuspectStore } from './suspects.ts';

interface SuspectDocument {
  /** The message's id wherever its copy lies. */
  _id: string;
  attempts: Attempt[];
  markedAt: Date;
}

// Longer than a message can wait in both queues together, each for the outage budget of 7 days.
const forgottenAfterS = 15 * 86_400;

/** The markers in MongoDB, one document a message; an index removes what nobody has removed. */
export function createMongoSuspects({ link }: { link: MongoLink }): SuspectStore {
  const suspects = () => link.collection<SuspectDocument>('suspects');
  const ensureIndex = link.indexOnce(() =>
    suspects().createIndex({ markedAt: 1 }, { expireAfterSeconds: forgottenAfterS }),
  );

  return {
    mark: (message, attempt) =>
      waited(async () => {
        await ensureIndex();
        return (await push(suspects(), message, attempt)) ?? { kind: 'marked' };
      }),
    explain: (message, { id, error }) =>
      waited(async () => {
        await suspects().updateOne(
          { _id: message, 'attempts.id': id },
          { $set: { 'attempts.$.error': error ?? '' } },
        );
      }),
    takeBack: (message, { id }) =>
      waited(async () => {
        await suspects().updateOne({ _id: message }, { $pull: { attempts: { id } } });
      }),
    clear: (message) =>
      waited(async () => {
        await suspects().deleteOne({ _id: message });
      }),
  };
}

/** Undefined when the marker stands; else what stood there already. */
async function push(
  suspects: mongo.Collection<SuspectDocument>,
  message: string,
  attempt: Attempt,
): Promise<Marking | undefined> {
  const last = `attempts.${attemptsMax - 1}`;
  const add = () =>
    suspects.updateOne(
      { _id: message, [last]: { $exists: false } },
      { $push: { attempts: attempt }, $set: { markedAt: attempt.at } },
      { upsert: true },
    );
  try {
    await add();
    return undefined;
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
  }
  // It is there and full, or another instance has made it at the same time.
  const found = await suspects.findOne({ _id: message });
  if (found !== null && found.attempts.length >= attemptsMax)
    return { kind: 'in-vain', attempts: found.attempts };
  await add();
  return undefined;
}
