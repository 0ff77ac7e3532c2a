import { actions } from '@paystream/nats';
import { count, time } from '@paystream/runtime';
import { z } from 'zod';
import type { AnomalyCode, Status } from './domain/transaction.ts';

/** The words that a transaction can be in, best known first (ARCHITECTURE.md, A transaction). */
export const statuses = [
  'refunded',
  'partially_refunded',
  'approved',
  'canceled',
  'authorized',
  'declined',
  'updated',
  'draft',
  'new',
] as const satisfies readonly Status[];

const anomalyCodes = [
  'second-new',
  'after-approved',
  'approved-again',
  'canceled-after-capture',
  'over-captured',
  'over-refunded',
  'currency-changed',
  'amount-overflow',
] as const satisfies readonly AnomalyCode[];

export const transactionQuerySchema = z.strictObject({
  wait: count({
    description: 'Seconds to wait for the transaction to exist or to change from If-None-Match.',
    ...{ min: 0, max: 30, fallback: 0, example: 1 },
  }),
});

export const listQuerySchema = z.strictObject({
  status: z
    .enum(statuses, `must be one of ${statuses.join(', ')}`)
    .optional()
    .meta({ example: 'approved' }),
  source: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a lower-case name')
    .optional()
    .meta({ example: 'x-payment' }),
  action: z
    .enum(actions, `must be one of ${actions.join(', ')}`)
    .optional()
    .meta({ example: 'APPROVED' }),
  from: time
    .optional()
    .meta({ description: 'Created at this time or later.', example: '2026-01-31T00:00:00Z' }),
  to: time
    .optional()
    .meta({ description: 'Created before this time.', example: '2026-01-31T01:00:00+01:00' }),
  limit: count({ description: 'Transactions on a page.', min: 1, max: 100, fallback: 20, example: 20 }),
  cursor: z.string().max(200).optional().meta({
    description: 'The nextCursor of the page before.',
    example: 'MTc2OTgxNzYwMDAwMC42OTdkNDQ4MGExYjJjM2Q0ZTVmNjA3MTg',
  }),
});

const minor = z.int().min(0).max(Number.MAX_SAFE_INTEGER).meta({ description: 'Minor units.' });
const at = z.iso.datetime();

const factShape = {
  eventId: z.string(),
  fingerprint: z.string().regex(/^[0-9a-f]{32}$/),
  action: z.enum(actions),
  amount: minor,
  note: z.string(),
  source: z.string(),
  currency: z.string().optional(),
  reference: z.string().optional(),
  webhookId: z
    .string()
    .optional()
    .meta({ description: 'The webhook that it came in: GET /webhooks-received/{id}.' }),
  occurredAt: at.optional(),
  receivedAt: at,
  storedAt: at,
  sequence: z.int().min(1),
  at: at.meta({ description: 'The time by which events are put in order: occurredAt, else storedAt.' }),
  deliveries: z.int().min(1),
};

const summaryShape = {
  txId: z.string(),
  source: z.string(),
  status: z.enum(statuses),
  action: z.enum(actions),
  amount: minor,
  currency: z.string().optional(),
  note: z.string(),
  amounts: z.strictObject({ authorized: minor, captured: minor, refunded: minor, disputed: minor }),
  hasNew: z.boolean(),
  anomalies: z.array(z.strictObject({ n: z.int().min(1), code: z.enum(anomalyCodes) })),
  version: z.int().min(1),
  createdAt: at,
  updatedAt: at,
};

export const transactionSchema = z
  .strictObject({
    ...summaryShape,
    actionHistory: z.array(
      z.strictObject({ n: z.int().min(1), ...factShape, anomalies: z.array(z.enum(anomalyCodes)) }),
    ),
    conflicts: z.array(z.strictObject({ ...factShape, recordedFingerprint: z.string() })),
  })
  .meta({ id: 'Transaction' });

export const transactionPageSchema = z
  .strictObject({
    items: z.array(z.strictObject(summaryShape).meta({ id: 'TransactionSummary' })),
    nextCursor: z.string().nullable().meta({ description: 'Null on the last page.' }),
  })
  .meta({ id: 'TransactionPage' });
