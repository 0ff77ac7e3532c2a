import { reasonSchema } from '@paystream/runtime';
import { z } from 'zod';

export const webhookIdSchema = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex characters');

const time = z.iso.datetime();
const notUnderstood = z
  .array(z.string())
  .meta({ description: 'What no event was made of, and why; empty when all of it was understood.' });
const counts = {
  messages: z.int().min(0).meta({ description: 'Events that were published.' }),
  duplicates: z.int().min(0).meta({ description: 'Those among them that the broker knew.' }),
};

/** What `GET /webhooks-received/:id` answers. */
export const receivedWebhookSchema = z
  .strictObject({
    id: webhookIdSchema,
    source: z.string(),
    deliveryId: z.string().optional().meta({ description: "The source's own id of it." }),
    receivedAt: time,
    expiresAt: time.meta({ description: 'It is deleted then.' }),
    reasons: notUnderstood,
    translations: z
      .array(z.strictObject({ at: time, by: z.string(), reason: z.string(), ...counts }))
      .meta({ description: 'How often it was translated once more, the last 100.' }),
    body: z.string().meta({ description: 'The bytes as they came, and as they were verified.' }),
  })
  .meta({ id: 'ReceivedWebhook' });

/** What `POST /webhooks-received/:id/translate` takes: why. */
export const translationRequestSchema = z
  .strictObject({ reason: reasonSchema }, 'must be a JSON object')
  .meta({ id: 'TranslationRequest', example: { reason: 'the mapping has the new type now' } });

/** What it answers. */
export const translationSchema = z
  .strictObject({ ...counts, reasons: notUnderstood })
  .meta({ id: 'Translation' });
