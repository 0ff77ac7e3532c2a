import { describeError } from '@paystream/runtime';
import { ErrorCode, type Msg, type NatsConnection, NatsError, nuid } from 'nats';
import { z } from 'zod';
import { errorCodes, headersOf, type OutgoingMessage } from './outgoing.ts';
import { hasAtomicBatches } from './server-version.ts';

/** The broker's word for a batch: all of it is stored, or nothing. */
export type BatchOutcome =
  /** Message i of n, from 0, has the sequence `lastSequence - (n - 1) + i`. */
  | { kind: 'stored'; lastSequence: number }
  /** Nothing is stored. `code` is the server's error code, where it gave one. */
  | { kind: 'refused'; code: number | undefined; detail: string }
  /** Stored or not: the same ids once more tell, each for itself. */
  | { kind: 'no-answer'; detail: string };

export interface BatchOptions {
  timeoutMs: number;
  /** Another stream that took over a subject must not be mistaken for this one. */
  stream: string;
}

/** What the server takes in one batch. */
export const batchMax = 1_000;

const answerSchema = z.union([
  z.object({ error: z.object({ err_code: z.number().optional(), description: z.string().default('') }) }),
  z.object({ seq: z.number(), batch: z.string(), count: z.number() }),
]);

/**
 * Publishes all of the messages or none, as one write and one sync of the broker. Only the last is answered: the
 * others go out in front of it without waiting.
 */
export async function publishBatch(
  connection: NatsConnection,
  messages: readonly OutgoingMessage[],
  { timeoutMs, stream }: BatchOptions,
): Promise<BatchOutcome> {
  if (messages.length > batchMax) {
    return refused(
      errorCodes.batchTooLarge,
      `a batch has at most ${batchMax} messages, not ${messages.length}`,
    );
  }
  if (!hasAtomicBatches(connection))
    return refused(errorCodes.batchOff, 'this nats-server has no atomic batches');
  const batchId = nuid.next();
  const headersAt = (index: number, message: OutgoingMessage) => {
    const headers = headersOf(message);
    headers.set('Nats-Expected-Stream', stream);
    headers.set('Nats-Batch-Id', batchId);
    headers.set('Nats-Batch-Sequence', String(index + 1));
    return headers;
  };
  const open = messages.slice(0, -1);
  const last = messages[open.length];
  if (last === undefined) throw new Error('a batch has at least one message');
  try {
    for (const [index, message] of open.entries()) {
      connection.publish(message.subject, message.data, { headers: headersAt(index, message) });
    }
    const headers = headersAt(open.length, last);
    headers.set('Nats-Batch-Commit', '1');
    const answer = await connection.request(last.subject, last.data, { headers, timeout: timeoutMs });
    return outcomeOf(answer);
  } catch (error) {
    return outcomeOfError(error);
  }
}

function outcomeOf(answer: Msg): BatchOutcome {
  const parsed = answerSchema.safeParse(answer.json());
  if (!parsed.success) return { kind: 'no-answer', detail: `not the answer to a batch: ${answer.string()}` };
  if ('error' in parsed.data) return refused(parsed.data.error.err_code, parsed.data.error.description);
  return { kind: 'stored', lastSequence: parsed.data.seq };
}

/** A batch that was not committed stores nothing, so what the client says before the commit is a refusal. */
function outcomeOfError(error: unknown): BatchOutcome {
  switch (error instanceof NatsError ? error.code : undefined) {
    case ErrorCode.MaxPayloadExceeded:
      return refused(errorCodes.messageTooLarge, describeError(error));
    case ErrorCode.NoResponders:
      return refused(undefined, 'no stream takes the messages');
    case ErrorCode.PermissionsViolation:
      return refused(undefined, describeError(error));
    default:
      return { kind: 'no-answer', detail: describeError(error) };
  }
}

const refused = (code: number | undefined, detail: string): BatchOutcome => ({
  kind: 'refused',
  code,
  detail,
});
