import { actions } from '@paystream/nats';
import { count, reasonSchema, sequenceSchema, time } from '@paystream/runtime';
import { z } from 'zod';

const subjectActions = [...actions, 'UNKNOWN'] as const;

const filterShape = {
  reason: z
    .string()
    .regex(/^[a-z-]{1,64}$/, 'must be a reason of a dead letter, such as not-json')
    .optional()
    .meta({ description: 'Why it was put aside.', example: 'not-json' }),
  action: z
    .enum(subjectActions, `must be one of ${subjectActions.join(', ')}`)
    .optional()
    .meta({ description: 'The action that its subject names.', example: 'NEW' }),
  from: time
    .optional()
    .meta({ description: 'Put aside at this time or later.', example: '2026-01-31T00:00:00Z' }),
  to: time.optional().meta({ description: 'Put aside before this time.', example: '2027-01-31T00:00:00Z' }),
};

const cursor = z
  .string()
  .regex(/^\d{1,15}$/, 'must be a nextCursor of an answer')
  .optional()
  .meta({ description: 'The nextCursor of the answer before.', example: '1' });

/** What `GET /dead-letters` takes. */
export const deadLetterQuerySchema = z.strictObject({
  ...filterShape,
  limit: count({ description: 'Dead letters on a page.', min: 1, max: 100, fallback: 20, example: 20 }),
  cursor,
});

/** What `GET /redrives` takes. */
export const redriveQuerySchema = z.strictObject({
  sequence: sequenceSchema.optional().meta({ description: 'Only those of this dead letter.', example: '1' }),
  limit: count({ description: 'Redrives on a page.', min: 1, max: 100, fallback: 20, example: 20 }),
  cursor: z
    .string()
    .regex(/^[0-9a-f]{24}$/, 'must be a nextCursor of an answer')
    .optional()
    .meta({ description: 'The nextCursor of the answer before.', example: '697d4480a1b2c3d4e5f60718' }),
});

/** What one redrive takes. */
export const redriveOneSchema = z
  .strictObject({ reason: reasonSchema }, 'must be a JSON object')
  .meta({ id: 'RedriveOne', example: { reason: 'the sender has mended the amount' } });

/** What the redrive of many takes. */
export const redriveManySchema = z
  .strictObject(
    {
      filter: z
        .strictObject(filterShape, 'must be a JSON object')
        .refine((filter) => Object.values(filter).some((value) => value !== undefined), {
          error: 'must name at least one of reason, action, from, to',
        })
        .meta({ description: 'Which of them; all that are given must hold.' }),
      reason: reasonSchema,
      dryRun: z.boolean('must be true or false').default(false).meta({ description: 'Only counts them.' }),
      limit: z
        .int('must be a whole number')
        .min(1, 'must be at least 1')
        .max(500, 'must be at most 500')
        .default(100)
        .meta({ description: 'The most that are redriven by this call.' }),
      cursor,
    },
    'must be a JSON object',
  )
  .meta({
    id: 'RedriveMany',
    example: { filter: { reason: 'tried-in-vain' }, reason: 'the bug is mended', dryRun: true },
  });

const at = z.iso.datetime();

const resultSchema = z.strictObject({
  outcome: z.enum(['applied', 'duplicate', 'conflict', 'unmapped', 'failed']),
  error: z.string().nullable().meta({ description: 'Why the dead letter stays.' }),
  removed: z.boolean().meta({ description: 'Whether it has left the dead letters.' }),
});

export const redriveSchema = z
  .strictObject({
    id: z.string(),
    letter: z.string().meta({ description: 'The id of the dead letter.' }),
    sequence: z.int().min(1),
    by: z.string().meta({ description: 'The name of the operator token.' }),
    at,
    reason: z.string(),
    result: resultSchema.nullable().meta({ description: 'Null: it goes on, or its process ended.' }),
  })
  .meta({ id: 'Redrive' });

const letterShape = {
  sequence: z.int().min(1),
  id: z.string().meta({ description: 'The same for every dead letter of one message.' }),
  deadAt: at,
  reason: z.string(),
  detail: z.string(),
  firstError: z.string().nullable(),
  lastError: z.string().nullable(),
  subject: z.string(),
  storedAt: at.meta({ description: 'When the message was first stored.' }),
  storedSequence: z.int().min(1).meta({ description: 'Its place in the stream payment.' }),
  deliveries: z.int().min(1),
  txId: z.string().nullable().meta({ description: 'Null where it cannot be read.' }),
  eventId: z.string().nullable(),
  lastRedrive: redriveSchema.nullable(),
};

export const deadLetterPageSchema = z
  .strictObject({
    items: z.array(z.strictObject(letterShape).meta({ id: 'DeadLetterSummary' })),
    nextCursor: z
      .string()
      .nullable()
      .meta({ description: 'Null: there is nothing behind it. A page may be short.' }),
  })
  .meta({ id: 'DeadLetterPage' });

export const deadLetterSchema = z
  .strictObject({
    ...letterShape,
    headers: z.record(z.string(), z.array(z.string())),
    body: z.strictObject({
      text: z.string().nullable().meta({ description: 'Null where it is not UTF-8.' }),
      base64: z.string().meta({ description: 'The bytes as they came.' }),
    }),
    event: z
      .record(z.string(), z.unknown())
      .nullable()
      .meta({ description: 'As it is read; null where it cannot be.' }),
    redrives: z.array(redriveSchema).meta({ description: 'The latest 20, newest first.' }),
  })
  .meta({ id: 'DeadLetter' });

export const redrivenSchema = z
  .strictObject({ sequence: z.int().min(1), ...resultSchema.shape })
  .meta({ id: 'Redriven' });

export const redrivenManySchema = z
  .strictObject({
    dryRun: z.boolean(),
    count: z.int().min(0).meta({ description: 'That match, with dryRun; else that were redriven.' }),
    failed: z.int().min(0),
    items: z.array(redrivenSchema),
    nextCursor: z.string().nullable().meta({ description: 'Null: there is nothing behind it.' }),
  })
  .meta({ id: 'RedrivenMany' });

export const redrivePageSchema = z
  .strictObject({ items: z.array(redriveSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'RedrivePage' });
