import type { Translated, WebhookToTranslate } from '@paystream/nats';
import {
  addToLine,
  askAgain,
  checkJsonType,
  type Door,
  onlyMethods,
  operatorOf,
  Problem,
  parseInput,
  traceparentOf,
} from '@paystream/runtime';
import express, { type Express } from 'express';
import { guarded } from './transaction-routes.ts';
import { translationRequestSchema, webhookIdSchema } from './webhook-schemas.ts';
import type { StoredWebhook, WebhookStore } from './webhook-store.ts';

export interface WebhookRoutesOptions {
  door: Door;
  webhooks: WebhookStore;
  /** Has a gateway translate it once more and publish what comes of it. */
  translate: (webhook: WebhookToTranslate) => Promise<Translated>;
  now: () => Date;
}

// The longest reason, every character of it escaped, is 3,000 bytes.
const bodyBytesMax = 4_096;

/** `GET /webhooks-received/:id` and `POST /webhooks-received/:id/translate`. */
export function mountWebhooks(app: Express, { door, webhooks, translate, now }: WebhookRoutesOptions): void {
  const find = async (id: string): Promise<StoredWebhook> => {
    const found = await guarded(() => webhooks.find(id));
    if (found !== undefined) return found;
    throw new Problem('unknown-webhook', `No webhook ${id} is kept; they are deleted after 90 days.`);
  };

  app.get('/webhooks-received/:id', door.needs('viewer'), async (req, res) => {
    const id = parseInput(webhookIdSchema, req.params.id, 'id');
    addToLine(res, { webhookId: id });
    const { source, deliveryId, receivedAt, expiresAt, reasons, translations, body } = await find(id);
    res.set('cache-control', 'no-store');
    res.json({ id, source, deliveryId, receivedAt, expiresAt, reasons, translations, body });
  });
  app.all('/webhooks-received/:id', onlyMethods('GET', 'HEAD'));

  const readBody = express.json({ limit: bodyBytesMax, strict: false });
  app.post(
    '/webhooks-received/:id/translate',
    door.needs('operator'),
    needJson,
    readBody,
    async (req, res) => {
      const id = parseInput(webhookIdSchema, req.params.id, 'id');
      const { reason } = parseInput(translationRequestSchema, req.body);
      addToLine(res, { webhookId: id, reason });
      const { source, deliveryId, receivedAt, body } = await find(id);
      const traceparent = traceparentOf(res);
      const asked = { id, source, deliveryId, receivedAt: receivedAt.toISOString(), body, traceparent };
      const { messages, duplicates, unmapped } = published(await translate(asked));
      addToLine(res, { messages, duplicates, unmapped: unmapped.length });
      const done = { at: now(), by: operatorOf(res), reason, messages, duplicates };
      await guarded(
        () => webhooks.addTranslation(id, done, unmapped),
        'It was translated, and that could not be written down.',
      );
      res.set('cache-control', 'no-store').json({ messages, duplicates, reasons: unmapped });
    },
  );
  app.all('/webhooks-received/:id/translate', onlyMethods('POST'));
}

const needJson: express.RequestHandler = (req, _res, next) => {
  checkJsonType(req);
  next();
};

function published(translated: Translated): Extract<Translated, { kind: 'published' }> {
  switch (translated.kind) {
    case 'published':
      return translated;
    case 'unknown-source':
      throw new Problem('translation-failed', 'The gateway has no source of that name any more.');
    case 'unreadable':
      throw new Problem('translation-failed', translated.detail);
    case 'unavailable':
      throw askAgain(
        'broker-unavailable',
        `It may not have been translated: ${translated.detail}; ask again, nothing is published twice.`,
      );
    default:
      return translated satisfies never;
  }
}
