import { type PassPoint, passBy } from '@paystream/runtime';
import {
  headers,
  type JetStreamClient,
  type MsgHdrs,
  type NatsConnection,
  NatsError,
  type PubAck,
} from 'nats';
import { type BrokerConnection, isBrokerLost, untilDown } from './connection.ts';
import { type EncodedMessage, encodeEvent, type PaymentEvent } from './messages.ts';
import { fullCodes } from './outgoing.ts';
import { paymentStreamName } from './streams.ts';
import { atMost } from './waiting.ts';
import type { UnmappedWebhook } from './webhooks.ts';

/** The broker's word for an event, or why there is none. Without it nobody may answer 200. */
export type PublishOutcome =
  | { status: 'stored'; id: string; sequence: number; duplicate: boolean }
  | { status: 'unavailable'; id: string; reason: UnavailableReason; detail: string; retryAfterS: number };

export type UnavailableReason =
  | 'broker-down'
  | 'no-answer'
  | 'stream-missing'
  | 'stream-full'
  | 'too-many'
  | 'refused';

export interface Publisher {
  /** Resolves within `answerWithinMs`, with the broker's word or the reason why it has not come. Never rejects. */
  publish(
    said: PaymentEvent | UnmappedWebhook,
    trace?: { traceparent?: string | undefined },
  ): Promise<PublishOutcome>;
}

export interface PublisherOptions {
  broker: BrokerConnection;
  /** Bounds the wait of one event. Providers give up after 10 s; we promise an answer within 5 s. */
  answerWithinMs?: number;
  /** Events that wait for the broker's word at one time: at 2,000 a second, about half a second's worth. */
  inFlightMax?: number;
  pass?: PassPoint;
}

// While the broker is known not to answer, nobody waits longer: 503 within 1 s is the promise.
const doubtfulAnswerWithinMs = 800;
const noAnswer = 'the broker did not answer in time';

/** Publishes each event under its message id, so that a repeat within the broker's window is not stored again. */
export function createPublisher({
  broker,
  answerWithinMs = 4_000,
  inFlightMax = 1_000,
  pass = passBy,
}: PublisherOptions): Publisher {
  let inFlight = 0;
  let doubtful = false;

  // Waits in full even when the sender was answered already: a late word ends the doubt.
  const ask = async (connection: NatsConnection, message: EncodedMessage): Promise<PublishOutcome> => {
    inFlight += 1;
    try {
      pass('before-publish');
      const js = connection.jetstream({ timeout: answerWithinMs });
      const ack = await untilDown(broker, send(js, message, answerWithinMs));
      pass('after-publish-ack');
      doubtful = false;
      return { status: 'stored', id: message.id, sequence: ack.seq, duplicate: ack.duplicate };
    } catch (error) {
      const { reason, detail } = classify(error);
      doubtful = reason === 'no-answer';
      return unavailable(message, reason, detail);
    } finally {
      inFlight -= 1;
    }
  };

  const publish: Publisher['publish'] = async (event, trace) => {
    const message = encodeEvent(event, trace);
    const connection = broker.current();
    if (connection === undefined) return unavailable(message, 'broker-down', broker.state().detail);
    if (inFlight >= inFlightMax) {
      return unavailable(message, 'too-many', `${inFlight} events wait for the broker already`);
    }
    const answer = ask(connection, message);
    if (!doubtful) return answer;
    const early = await atMost(Math.min(doubtfulAnswerWithinMs, answerWithinMs), answer);
    return early ?? unavailable(message, 'no-answer', noAnswer);
  };

  return { publish };
}

function unavailable({ id }: EncodedMessage, reason: UnavailableReason, detail: string): PublishOutcome {
  return { status: 'unavailable', id, reason, detail, retryAfterS: reason === 'stream-full' ? 30 : 2 };
}

async function send(js: JetStreamClient, message: EncodedMessage, timeoutMs: number): Promise<PubAck> {
  return js.publish(message.subject, message.data, {
    msgID: message.id,
    headers: toHeaders(message.headers),
    timeout: timeoutMs,
    // Another stream that took over the subject must not be mistaken for the work queue.
    expect: { streamName: paymentStreamName },
  });
}

function toHeaders(values: Record<string, string>): MsgHdrs {
  const hdrs = headers();
  for (const [name, value] of Object.entries(values)) hdrs.set(name, value);
  return hdrs;
}

function classify(error: unknown): { reason: UnavailableReason; detail: string } {
  if (isBrokerLost(error)) return { reason: 'broker-down', detail: error.message };
  if (!(error instanceof NatsError)) return { reason: 'refused', detail: String(error) };
  if (error.code === 'TIMEOUT') return { reason: 'no-answer', detail: noAnswer };
  if (error.code === '503' && error.api_error === undefined) {
    return {
      reason: 'stream-missing',
      detail: `no stream takes the message; is ${paymentStreamName} there?`,
    };
  }
  if (error.code === 'CONNECTION_CLOSED' || error.code === 'CONNECTION_DRAINING') {
    return { reason: 'broker-down', detail: error.message };
  }
  if (error.api_error !== undefined && fullCodes.has(error.api_error.err_code ?? 0)) {
    return { reason: 'stream-full', detail: error.message };
  }
  return { reason: 'refused', detail: error.message };
}
