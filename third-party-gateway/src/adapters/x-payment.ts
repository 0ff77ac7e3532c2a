import { amountFrom, eventIdSchema, identify, noteSchema, uuidSchema } from '@paystream/nats';
import type { FieldError } from '@paystream/runtime';
import { z } from 'zod';
import { readJsonBody } from '../json-body.ts';
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

export const xPayment: Adapter = {
  translate: ({ source, headers, body, receivedAt }) => {
    const json = readJsonBody(body);
    if (json.kind === 'refused') return { kind: 'malformed', detail: json.detail };

    const errors: FieldError[] = [];
    const parsed = xPaymentBodySchema.safeParse(json.value);
    if (!parsed.success)
      errors.push(...parsed.error.issues.flatMap((issue) => toFieldErrors(issue, json.value)));
    const eventId = eventIdSchema.optional().safeParse(headers[webhookIdHeader]);
    if (!eventId.success) {
      const message = 'must stand once, with 1 to 255 printable ASCII characters and no spaces';
      errors.push({ field: webhookIdHeader, message });
    }
    if (!parsed.success || !eventId.success) return { kind: 'invalid', errors };

    const said = { ...parsed.data, source, eventId: eventId.data, receivedAt: receivedAt.toISOString() };
    return { kind: 'event', event: identify(said).event };
  },
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
