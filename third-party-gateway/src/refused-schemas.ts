import { refusalReasons } from '@paystream/nats';
import { count, reasonSchema, time } from '@paystream/runtime';
import { z } from 'zod';

const reason = z.enum(refusalReasons, `must be one of ${refusalReasons.join(', ')}`);

/** What `GET /refused` takes. */
export const refusedQuerySchema = z.strictObject({
  source: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a lower-case name')
    .optional()
    .meta({ example: 'stripe' }),
  reason: reason.optional().meta({ description: 'The code of the answer.', example: 'signature-wrong' }),
  from: time.optional().meta({ description: 'Kept at this time or later.', example: '2026-01-31T00:00:00Z' }),
  to: time.optional().meta({ description: 'Kept before this time.', example: '2027-01-31T00:00:00Z' }),
  limit: count({ description: 'Webhooks on a page.', min: 1, max: 100, fallback: 20, example: 20 }),
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, 'must be a nextCursor of an answer')
    .optional()
    .meta({ description: 'The nextCursor of the answer before.', example: '1' }),
});

const at = z.iso.datetime();

const summaryShape = {
  sequence: z.int().min(1),
  source: z.string(),
  reason,
  detail: z.string().meta({ description: 'What its sender was told beside the reason.' }),
  receivedAt: at.meta({ description: "The gateway's clock: a retry counts the age of a signature from it." }),
  keptAt: at,
  bytes: z.int().min(0).meta({ description: 'Of the body.' }),
};

export const refusedPageSchema = z
  .strictObject({
    items: z.array(z.strictObject(summaryShape).meta({ id: 'RefusedSummary' })),
    nextCursor: z
      .string()
      .nullable()
      .meta({ description: 'Null: there is nothing behind it. A page may be short.' }),
    notKept: z.int().min(0).meta({
      description: 'Refused by this process since it started and not kept: over the limit, or no broker.',
    }),
  })
  .meta({ id: 'RefusedPage' });

export const refusedSchema = z
  .strictObject({
    ...summaryShape,
    headers: z
      .record(z.string(), z.string())
      .meta({ description: 'Those that its source verifies by; none that hold secrets.' }),
    body: z.strictObject({
      text: z.string().nullable().meta({ description: 'Null where it is not UTF-8.' }),
      base64: z.string().meta({ description: 'The bytes as they came.' }),
    }),
  })
  .meta({ id: 'RefusedWebhook' });

/** What a retry takes: why. */
export const retrySchema = z
  .strictObject({ reason: reasonSchema }, 'must be a JSON object')
  .meta({ id: 'RefusedRetry', example: { reason: 'the new secret is configured' } });

export const retriedSchema = z
  .strictObject({
    sequence: z.int().min(1),
    outcome: z.enum(['accepted', 'refused']).meta({ description: 'refused: nothing has changed.' }),
    code: z
      .enum([...refusalReasons, 'unknown-source'])
      .nullable()
      .meta({ description: 'Why it is refused.' }),
    detail: z.string(),
    messages: z
      .array(z.strictObject({ id: z.string(), sequence: z.int().min(1), duplicate: z.boolean() }))
      .meta({ description: 'What was published, or is known to the stream already.' }),
  })
  .meta({ id: 'RetriedWebhook' });
