import { amountFrom, eventIdSchema, noteSchema, uuidSchema } from '@paystream/nats';
import type { FieldError } from '@paystream/runtime';
import { z } from 'zod';
import {
  bodySignatureHeaders,
  bodySignatureSchema,
  signBody,
  verifyBodySignature,
} from '../body-signature.ts';
import { readTextSecret, textSecretRule } from '../signatures.ts';
import type { Adapter } from './adapter.ts';

/** The body of an `x-payment` webhook: exactly these four fields. */
export const xPaymentBodySchema = z
  .strictObject({
    txId: uuidSchema.meta({
      description: 'The transaction; letter case does not matter.',
      format: 'uuid',
      // Said again, since a JSON Schema pattern cannot ignore letter case.
      pattern: '^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$',
    }),
    action: z.enum(['NEW', 'DRAFT', 'UPDATE', 'APPROVED']),
    amount: amountFrom(1).meta({ description: 'Minor units (cents).' }),
    note: noteSchema.meta({ description: 'Free text, may be empty.' }),
  })
  .meta({
    id: 'XPaymentWebhook',
    example: {
      txId: '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90',
      action: 'NEW',
      amount: 1250,
      note: 'first order',
    },
  });

/** The optional request header that tells two otherwise equal events apart. */
export const webhookIdHeader = 'webhook-id';

// Made once: it costs as much as the judgement.
const deliveryIdSchema = eventIdSchema.optional();

const settings = { signature: bodySignatureSchema.prefault({}) };

/** Our own form: the fields of an event as they are. Who sends it is told at once what is wrong with it. */
export const xPayment: Adapter<typeof settings> = {
  name: 'x-payment',
  settings,
  deliveryIdHeader: webhookIdHeader,
  keepsBody: false,
  secretRule: textSecretRule,
  readSecret: readTextSecret,
  signatureHeaders: ({ signature }) => bodySignatureHeaders({ ...signature, idHeader: webhookIdHeader }),
  verify: (webhook, keys, { signature }) =>
    verifyBodySignature(webhook, keys, { ...signature, idHeader: webhookIdHeader }),
  translate: (body, { deliveryId }) => {
    const errors: FieldError[] = [];
    const parsed = xPaymentBodySchema.safeParse(body);
    if (!parsed.success) errors.push(...parsed.error.issues.flatMap((issue) => toFieldErrors(issue, body)));
    const eventId = deliveryIdSchema.safeParse(deliveryId);
    if (!eventId.success) {
      const message = 'must stand once, with 1 to 255 printable ASCII characters and no spaces';
      errors.push({ field: webhookIdHeader, message });
    }
    if (!parsed.success || !eventId.success) return { kind: 'invalid', errors };
    // Written out: with a copy of what the schema made, all that is done with a candidate takes twice as long.
    const { txId, action, amount, note } = parsed.data;
    const candidate = { txId, action, amount, note, eventId: eventId.data };
    return { kind: 'translated', candidates: [candidate], unmapped: [] };
  },
  sign: (unsigned, { signature }) => signBody(unsigned, { ...signature, idHeader: webhookIdHeader }),
};

// Who sends more than this many wrong names has other worries than to read them all.
const unknownFieldsMax = 50;

/** One line per field, in words for the sender. */
function toFieldErrors(issue: z.core.$ZodIssue, value: unknown): FieldError[] {
  if (issue.code === 'unrecognized_keys') return unknownFields(issue.keys);
  const [field] = issue.path;
  if (field === undefined) return [{ field: 'body', message: 'must be a JSON object' }];
  const given = typeof value === 'object' && value !== null && Object.hasOwn(value, field);
  return [{ field: String(field), message: given ? inWords(issue) : 'is required' }];
}

function unknownFields(keys: readonly string[]): FieldError[] {
  const errors = keys
    .slice(0, unknownFieldsMax)
    .map((key) => ({ field: key.slice(0, 64), message: 'is not a known field' }));
  const more = keys.length - errors.length;
  if (more > 0) errors.push({ field: 'body', message: `has ${more} more fields that are not known` });
  return errors;
}

function inWords(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return 'must be one of NEW, DRAFT, UPDATE, APPROVED';
  if (issue.code === 'invalid_type' && issue.expected === 'string') return 'must be a string';
  return issue.message;
}
