import { describeError } from '@paystream/runtime';
import { ErrorCode, type NatsConnection, NatsError } from 'nats';
import { type BatchOutcome, publishBatch } from './batch.ts';
import { type BrokerConnection, untilDown } from './connection.ts';
import type { Delivery } from './delivery.ts';
import { backlogSubject, copiedHeaders, originId } from './origin.ts';
import { errorCodes, fullCodes, headersOf, type OutgoingMessage } from './outgoing.ts';
import { backlogStreamName } from './streams.ts';

export type SetAsideOutcome =
  /** The backlog holds it, since now or since before: it may leave the queue. */
  | { kind: 'aside' }
  /** There is no room for it in the backlog. */
  | { kind: 'full' }
  /** It may be there or not; set aside again it is held once. */
  | { kind: 'unknown'; detail: string };

export interface SetAside {
  /** Publishes the messages to the backlog, in order, and says of each what became of it. Settles nothing, never rejects. */
  setAside(deliveries: readonly Delivery[]): Promise<SetAsideOutcome[]>;
}

export interface SetAsideOptions {
  broker: BrokerConnection;
  /** Milliseconds that only grow. */
  clock?: () => number;
}

// Half of what the server takes; a larger batch is hardly faster and is refused as a whole all the same.
const togetherMax = 500;
// What is copied at one time, here and in the server, which keeps an open batch in memory.
const togetherBytesMax = 4_194_304;
const answerWithinMs = 10_000;
// More in flight only adds latency.
const singlesInFlight = 64;
// A stream that was made without batches may be mended meanwhile.
const batchesOffForMs = 60_000;

/** Batches where the broker takes them, else one by one; the message ids make a repeat harmless. */
export function createSetAside({ broker, clock = () => performance.now() }: SetAsideOptions): SetAside {
  let singlesUntil = Number.NEGATIVE_INFINITY;

  const publish = async (connection: NatsConnection, messages: OutgoingMessage[]): Promise<Published> => {
    if (clock() < singlesUntil) return publishSingly(broker, connection, messages);
    const outcome = await publishTogether(broker, connection, messages);
    if (outcome.kind === 'stored') return { outcomes: messages.map(() => aside), rest: undefined };
    if (outcome.kind === 'no-answer' || !triedSingly.has(outcome.code)) {
      return { outcomes: [], rest: { kind: 'unknown', detail: outcome.detail } };
    }
    if (outcome.code === errorCodes.batchOff) singlesUntil = clock() + batchesOffForMs;
    return publishSingly(broker, connection, messages);
  };

  const setAside: SetAside['setAside'] = async (deliveries) => {
    const outcomes: SetAsideOutcome[] = [];
    let rest: SetAsideOutcome | undefined;
    while (rest === undefined && outcomes.length < deliveries.length) {
      const connection = broker.current();
      if (connection === undefined) rest = { kind: 'unknown', detail: broker.state().detail };
      else {
        const published = await publish(connection, nextMessages(deliveries, outcomes.length));
        outcomes.push(...published.outcomes);
        rest = published.rest;
      }
    }
    // What stood in the way of one stands in the way of those behind it.
    const filler = rest ?? aside;
    return deliveries.map((_delivery, index) => outcomes[index] ?? filler);
  };

  return { setAside };
}

const aside: SetAsideOutcome = { kind: 'aside' };

/** What became of the first messages, in order, and what holds for all behind them; undefined: they can be tried. */
interface Published {
  outcomes: SetAsideOutcome[];
  rest: SetAsideOutcome | undefined;
}

/** For these a refused batch does not tell which message it was, or a single publish may be taken all the same. */
const triedSingly: ReadonlySet<number | undefined> = new Set([
  ...fullCodes,
  errorCodes.duplicateInBatch,
  errorCodes.batchIncomplete,
  errorCodes.batchOff,
  errorCodes.messageTooLarge,
]);

async function publishTogether(
  broker: BrokerConnection,
  connection: NatsConnection,
  messages: OutgoingMessage[],
): Promise<BatchOutcome> {
  const options = { timeoutMs: answerWithinMs, stream: backlogStreamName };
  try {
    return await untilDown(broker, publishBatch(connection, messages, options));
  } catch (error) {
    return { kind: 'no-answer', detail: describeError(error) };
  }
}

async function publishSingly(
  broker: BrokerConnection,
  connection: NatsConnection,
  messages: OutgoingMessage[],
): Promise<Published> {
  const outcomes: SetAsideOutcome[] = [];
  let rest: SetAsideOutcome | undefined;
  let next = 0;
  const lane = async () => {
    for (
      let message = messages[next];
      message !== undefined && rest === undefined;
      message = messages[next]
    ) {
      const index = next;
      next += 1;
      const { outcome, holdsForAll } = await publishOne(broker, connection, message);
      outcomes[index] = outcome;
      if (holdsForAll) rest ??= outcome;
    }
  };
  await Promise.all(Array.from({ length: singlesInFlight }, lane));
  return { outcomes, rest };
}

async function publishOne(
  broker: BrokerConnection,
  connection: NatsConnection,
  message: OutgoingMessage,
): Promise<{ outcome: SetAsideOutcome; holdsForAll: boolean }> {
  try {
    const publishing = connection
      .jetstream({ timeout: answerWithinMs })
      .publish(message.subject, message.data, {
        headers: headersOf(message),
        expect: { streamName: backlogStreamName },
        timeout: answerWithinMs,
      });
    // Known or new: it is there.
    await untilDown(broker, publishing);
    return { outcome: aside, holdsForAll: false };
  } catch (error) {
    const code = error instanceof NatsError ? error.api_error?.err_code : undefined;
    if (code !== undefined && fullCodes.has(code)) return { outcome: { kind: 'full' }, holdsForAll: true };
    const isTooLarge = code === errorCodes.messageTooLarge || isOverPayload(error);
    if (isTooLarge) return { outcome: { kind: 'full' }, holdsForAll: false };
    return { outcome: { kind: 'unknown', detail: describeError(error) }, holdsForAll: true };
  }
}

const isOverPayload = (error: unknown) =>
  error instanceof NatsError && error.code === ErrorCode.MaxPayloadExceeded;

/** As many as fit in one batch, and one at least. */
function nextMessages(deliveries: readonly Delivery[], from: number): OutgoingMessage[] {
  const messages: OutgoingMessage[] = [];
  let bytes = 0;
  for (const delivery of deliveries.slice(from, from + togetherMax)) {
    bytes += delivery.data.length;
    if (messages.length > 0 && bytes > togetherBytesMax) break;
    messages.push({
      subject: backlogSubject(delivery.subject),
      data: delivery.data,
      id: originId(delivery),
      headers: copiedHeaders(delivery),
    });
  }
  return messages;
}
