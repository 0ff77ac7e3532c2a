import { z } from 'zod';
import { eventIdSchema, sourceSchema, timeSchema } from './fields.ts';

/** Where a verified webhook goes that no event could be made of, or not of all of it. */
export const unmappedSubject = 'payments.unmapped';

/** The largest webhook that is taken. Providers stay far below: their largest are about 60 KiB. */
export const webhookBytesMax = 262_144;

/** The webhook that a message came of. The body travels with the first message of it alone. */
export const webhookSchema = z.object({
  /** The same for the same body of the same source. */
  id: z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex characters'),
  /** The source's own id of it, where it stands outside of the body. */
  deliveryId: eventIdSchema.optional(),
  body: z.string().max(webhookBytesMax, `must have at most ${webhookBytesMax} characters`).optional(),
});

// Enough for a person to see what it is.
const reasonsMax = 50;
const reasonCharactersMax = 500;

/** The payload on `payments.unmapped`. */
export const unmappedSchema = z.object({
  source: sourceSchema,
  receivedAt: timeSchema,
  webhook: webhookSchema.required({ body: true }),
  /** What was not understood, one line each. */
  reasons: z.array(z.string()),
});
export type UnmappedWebhook = z.infer<typeof unmappedSchema>;

/** The same, with as many reasons as a person reads. */
export function toUnmapped({ reasons, ...rest }: UnmappedWebhook): UnmappedWebhook {
  const cut = reasons.slice(0, reasonsMax).map((reason) => reason.slice(0, reasonCharactersMax));
  return { ...rest, reasons: cut };
}

export const readUnmapped = (value: unknown) => unmappedSchema.safeParse(value);

/** One for each webhook: sent again within the broker's window it is not stored again. */
export function unmappedMessageId({ source, webhook }: UnmappedWebhook): string {
  return `${source}.unmapped.${webhook.id}`;
}
