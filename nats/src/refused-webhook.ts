import { z } from 'zod';
import { sourceSchema, timeSchema } from './fields.ts';
import { refusedPrefix } from './streams.ts';
import { webhookBytesMax } from './webhooks.ts';

/** Why a webhook of a known source was refused. A closed list: subjects are made from it. */
export const refusalReasons = [
  'signature-missing',
  'signature-malformed',
  'signature-wrong',
  'signature-stale',
  /** Its source verified it, or found nothing to verify, and it cannot be read. */
  'malformed-request',
  /** The same, and a field of it breaks a rule. */
  'invalid-event',
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/** A webhook that was refused, with what is needed to verify it once more. */
export interface RefusedWebhook {
  source: string;
  reason: RefusalReason;
  /** In words, as its sender was told; empty where the reason says it all. */
  detail: string;
  /** The gateway's clock when it came: what its signature's age is counted from, whenever that is done. */
  receivedAt: Date;
  /** Those that its source verifies by, and no others. */
  headers: Readonly<Record<string, string>>;
  /** The bytes as they came. */
  body: Uint8Array;
}

// A person needs to see what is wrong, and no more of what a sender wrote.
const detailCharactersMax = 500;
// Base64 has four characters for three bytes.
const base64CharactersMax = 4 * Math.ceil(webhookBytesMax / 3);

/** How one lies in the stream. */
export const refusedSchema = z.object({
  source: sourceSchema,
  reason: z.enum(refusalReasons),
  detail: z.string(),
  receivedAt: timeSchema,
  headers: z.record(z.string(), z.string()),
  body: z.base64().max(base64CharactersMax),
});

/** Both tokens are of closed lists: the names of the sources that are configured, and the reasons. */
export const refusedSubject = (source: string, reason: RefusalReason) =>
  `${refusedPrefix}${sourceSchema.parse(source)}.${reason}`;

/** Where those of this source and reason are; any where one is left out. */
export const refusedSubjects = ({
  source,
  reason,
}: {
  source?: string | undefined;
  reason?: RefusalReason | undefined;
}) => `${refusedPrefix}${source ?? '*'}.${reason ?? '*'}`;

export function encodeRefused({ body, receivedAt, detail, ...rest }: RefusedWebhook): string {
  const payload: z.input<typeof refusedSchema> = {
    ...rest,
    detail: detail.slice(0, detailCharactersMax),
    receivedAt: receivedAt.toISOString(),
    body: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64'),
  };
  return JSON.stringify(payload);
}

/** The webhook, or undefined where somebody has put something else there. */
export function decodeRefused(data: Uint8Array): RefusedWebhook | undefined {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(data));
  } catch {
    return undefined;
  }
  const { data: payload } = refusedSchema.safeParse(json);
  if (payload === undefined) return undefined;
  return {
    ...payload,
    receivedAt: new Date(payload.receivedAt),
    body: Buffer.from(payload.body, 'base64'),
  };
}
