import mongoose, { type mongo } from 'mongoose';
import { duplicateKey, guarded, isOutage, type MongoLink, waited } from './store-mongo-connection.ts';
import type { KeptWebhook, StoredWebhook, TranslationRecord, WebhookStore } from './webhook-store.ts';

type WebhookDocument = Omit<StoredWebhook, 'id' | 'translations'> & {
  _id: string;
  translations?: TranslationRecord[];
};
type Webhooks = mongo.Collection<WebhookDocument>;

// Longer than any sender tries again, and than a dispute about an event takes to come up.
const keptForMs = 90 * 86_400_000;
// Who tries more often needs no more of its own tries.
const translationsMax = 100;

/** Webhooks in the collection `webhooks`, which the database itself clears of what is too old. */
export function createMongoWebhookStore({ link }: { link: MongoLink }): WebhookStore {
  const webhooks = () => link.collection<WebhookDocument>('webhooks');
  const ensureIndex = link.indexOnce(() =>
    webhooks().createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 }),
  );

  return {
    // What is wrong with one of them is told one by one.
    keep: (kept) =>
      waited(async () => {
        if (kept.length === 0) return new Map();
        await ensureIndex();
        const refused = await upsert(webhooks(), kept);
        // Somebody else wrote it at the same moment: now it is there, and what we have to add to it is added.
        const again = kept.filter(({ id }) => refused.get(id)?.code === duplicateKey);
        const left =
          again.length === 0 ? refused : new Map([...refused, ...(await upsert(webhooks(), again))]);
        return new Map([...left].filter(isRefused).map(([id, { detail }]) => [id, detail]));
      }),
    find: (id) =>
      guarded(async () => {
        const found = await webhooks().findOne({ _id: id });
        if (found === null) return undefined;
        const { _id, translations = [], ...rest } = found;
        return { id: _id, translations, ...rest };
      }),
    addTranslation: (id, translation, reasons) =>
      guarded(async () => {
        const last = { $each: [translation], $slice: -translationsMax };
        await webhooks().updateOne(
          { _id: id },
          { $set: { reasons: [...reasons] }, $push: { translations: last } },
        );
      }),
  };
}

interface Refusal {
  code: number;
  detail: string;
}

const isRefused = ([, { code }]: [string, Refusal]) => code !== duplicateKey;

async function upsert(webhooks: Webhooks, kept: readonly KeptWebhook[]): Promise<Map<string, Refusal>> {
  try {
    await webhooks.bulkWrite(kept.map(toOperation), { ordered: false, ignoreUndefined: true });
    return new Map();
  } catch (error) {
    if (!(error instanceof mongoose.mongo.MongoBulkWriteError)) throw error;
    const writeErrors = [error.writeErrors].flat();
    if (writeErrors.length === 0 || isOutage(error)) throw error;
    return new Map(
      writeErrors.flatMap(({ index, code, errmsg }) => {
        const id = kept[index]?.id;
        return id === undefined ? [] : [[id, { code, detail: errmsg ?? `code ${code}` }]];
      }),
    );
  }
}

function toOperation({ id, reasons, ...first }: KeptWebhook): mongo.AnyBulkWriteOperation<WebhookDocument> {
  const expiresAt = new Date(first.receivedAt.getTime() + keptForMs);
  const notUnderstood = reasons.length > 0;
  return {
    updateOne: {
      filter: { _id: id },
      update: {
        $setOnInsert: { ...first, expiresAt, ...(notUnderstood ? {} : { reasons }) },
        ...(notUnderstood ? { $set: { reasons } } : {}),
      },
      upsert: true,
    },
  };
}
