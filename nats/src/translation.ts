import { describeError, type Log, parseTraceparent } from '@paystream/runtime';
import { type Msg, type NatsConnection, NatsError } from 'nats';
import { z } from 'zod';
import { type BrokerConnection, untilDown } from './connection.ts';
import { eventIdSchema, sourceSchema, timeSchema } from './fields.ts';
import { webhookBytesMax, webhookSchema } from './webhooks.ts';

/** Where a kept webhook is sent to be translated once more: a question with one answer, stored nowhere. */
const translateSubject = 'webhooks.translate';
/** One gateway of all that are there answers. */
const queue = 'third-party-gateway';
// The gateway answers within 5 s, as it does to a sender.
const answerWithinMs = 6_000;

const keptWebhookSchema = z.object({
  id: webhookSchema.shape.id,
  source: sourceSchema,
  deliveryId: eventIdSchema.optional(),
  receivedAt: timeSchema,
  body: z.string().max(webhookBytesMax),
  /** The trace of whoever asks. */
  traceparent: z
    .string()
    .refine((text) => parseTraceparent(text) !== undefined)
    .optional()
    .catch(undefined),
});
/** A webhook that was verified when it came. */
export type WebhookToTranslate = z.infer<typeof keptWebhookSchema>;

const translatedSchema = z.discriminatedUnion('kind', [
  /** `messages`: how many were published; `duplicates`: how many of them the stream held already. */
  z.object({
    kind: z.literal('published'),
    messages: z.int(),
    duplicates: z.int(),
    unmapped: z.array(z.string()),
  }),
  z.object({ kind: z.literal('unknown-source') }),
  z.object({ kind: z.literal('unreadable'), detail: z.string() }),
  z.object({ kind: z.literal('unavailable'), detail: z.string() }),
]);
export type Translated = z.infer<typeof translatedSchema>;

/** Answers the questions for as long as the broker is there, from now on and after every loss. Returns what ends it. */
export function serveTranslations({
  broker,
  translate,
  log,
}: {
  broker: BrokerConnection;
  translate: (webhook: WebhookToTranslate) => Promise<Translated>;
  log: Log;
}): () => void {
  let served: NatsConnection | undefined;

  const answer = async (message: Msg) => {
    let reply: Translated;
    try {
      const parsed = keptWebhookSchema.safeParse(message.json());
      reply = parsed.success
        ? await translate(parsed.data)
        : { kind: 'unreadable', detail: 'this is no webhook as it is kept' };
    } catch (error) {
      log.error({ err: error }, 'translation.failed');
      reply = { kind: 'unreadable', detail: 'the translation failed; the log of the gateway says how' };
    }
    try {
      message.respond(JSON.stringify(reply));
    } catch (error) {
      // The connection was closed meanwhile: who asked gives up by their own clock, and may ask again.
      log.warn({ detail: describeError(error) }, 'translation.not-answered');
    }
  };
  const serve = () => {
    const connection = broker.current();
    // The client takes its subscriptions along when it reconnects; only a new connection needs a new one.
    if (connection === undefined || connection === served) return;
    served = connection;
    connection.subscribe(translateSubject, {
      queue,
      callback: (error, message) => {
        if (error !== null) log.warn({ detail: describeError(error) }, 'translation.not-served');
        else void answer(message);
      },
    });
  };
  serve();
  return broker.onChange(serve);
}

/** Asks a gateway to translate the webhook again and to publish what comes of it. Never rejects. */
export async function requestTranslation(
  broker: BrokerConnection,
  webhook: WebhookToTranslate,
): Promise<Translated> {
  const connection = broker.current();
  if (connection === undefined) return { kind: 'unavailable', detail: 'the broker is away' };
  try {
    const options = { timeout: answerWithinMs };
    const asking = connection.request(translateSubject, JSON.stringify(webhook), options);
    const parsed = translatedSchema.safeParse((await untilDown(broker, asking)).json());
    return parsed.data ?? { kind: 'unavailable', detail: 'the answer of the gateway cannot be read' };
  } catch (error) {
    const isNobody = error instanceof NatsError && error.code === '503';
    return { kind: 'unavailable', detail: isNobody ? 'no gateway is there' : describeError(error) };
  }
}
