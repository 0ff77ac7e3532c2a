import { addToLine, type Door, onlyMethods, Problem, parseInput } from '@paystream/runtime';
import type { Express } from 'express';
import { z } from 'zod';
import { guarded } from './transaction-routes.ts';
import type { WebhookStore } from './webhook-store.ts';

export interface WebhookRoutesOptions {
  door: Door;
  webhooks: WebhookStore;
}

export const webhookIdSchema = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex characters');

const time = z.iso.datetime();

export const receivedWebhookSchema = z
  .strictObject({
    id: webhookIdSchema,
    source: z.string(),
    deliveryId: z.string().optional().meta({ description: "The source's own id of it." }),
    receivedAt: time,
    expiresAt: time.meta({ description: 'It is deleted then.' }),
    reasons: z
      .array(z.string())
      .meta({ description: 'What no event was made of, and why; empty when all of it was understood.' }),
    body: z.string().meta({ description: 'The bytes as they came, and as they were verified.' }),
  })
  .meta({ id: 'ReceivedWebhook' });

/** `GET /webhooks-received/:id`. */
export function mountWebhooks(app: Express, { door, webhooks }: WebhookRoutesOptions): void {
  app.get('/webhooks-received/:id', door.needs('viewer'), async (req, res) => {
    const id = parseInput(webhookIdSchema, req.params.id, 'id');
    addToLine(res, { webhookId: id });
    const found = await guarded(() => webhooks.find(id));
    if (found === undefined) {
      throw new Problem('unknown-webhook', `No webhook ${id} is kept; they are deleted after 90 days.`);
    }
    const { source, deliveryId, receivedAt, expiresAt, reasons, body } = found;
    res.set('cache-control', 'no-store');
    res.json({ id, source, deliveryId, receivedAt, expiresAt, reasons, body });
  });
  app.all('/webhooks-received/:id', onlyMethods('GET', 'HEAD'));
}
