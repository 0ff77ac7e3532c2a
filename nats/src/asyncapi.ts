import { z } from 'zod';
import { deadLetterHeaders } from './dead-letter.ts';
import type { DefinitionFile } from './definitions.ts';
import { actions, eventByHandSchema, headerNames, paymentEventSchema, subjectOf } from './messages.ts';
import { originHeaders } from './origin.ts';
import { refusalReasons, refusedSchema } from './refused-webhook.ts';
import {
  backlogStreamName,
  deadLetterStreamName,
  paymentStreamName,
  refusedPrefix,
  refusedStreamName,
} from './streams.ts';
import { unmappedSchema, unmappedSubject } from './webhooks.ts';

type Meanings<Names extends object> = Record<keyof Names, string>;

const ownMeanings: Meanings<typeof headerNames> = {
  messageId: 'What the broker stores once within its duplicate window: `<txId>.<action>.<fingerprint>`.',
  traceparent:
    'W3C Trace Context: the trace of the webhook, and, where spans are sent, the publish of this message.',
  version: 'The version of this contract. A message without it is read as 1.',
};

const originMeanings: Meanings<typeof originHeaders> = {
  storedAt: 'When the message was first stored, by the clock of the broker.',
  sequence: `Its place in the stream ${paymentStreamName}.`,
  subject: 'Its subject there.',
  messageId: `Its ${headerNames.messageId} there, where it had one.`,
};

// Subject and message id are those of every copy.
const deadLetterMeanings: Meanings<Omit<typeof deadLetterHeaders, 'subject' | 'messageId'>> = {
  reason: 'Why it cannot be applied, one of few words.',
  detail: 'The same for a person.',
  deliveries: 'How often it had been handed out.',
  firstError: 'Of one that was tried in vain: what the first try failed of.',
  lastError: 'The same of the last try.',
};

const copyId = 'One id for all copies of a message: `payment.<sequence>.<stored at, ms>`.';
const traceparentPattern = '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$';

function headersOf<Names extends Record<string, string>>(
  names: Names,
  meanings: Partial<Record<keyof Names, string>>,
): Record<string, object> {
  return Object.fromEntries(
    Object.entries(meanings).map(([key, description]) => [names[key], { type: 'string', description }]),
  );
}

const own = {
  ...headersOf(headerNames, ownMeanings),
  [headerNames.version]: { type: 'string', const: '1', description: ownMeanings.version },
  [headerNames.traceparent]: {
    type: 'string',
    pattern: traceparentPattern,
    description: ownMeanings.traceparent,
  },
};
const copied = {
  ...own,
  ...headersOf(originHeaders, originMeanings),
  [headerNames.messageId]: { type: 'string', description: copyId },
};

const payloadOf = (schema: z.ZodType) => {
  const { $schema, ...rest } = z.toJSONSchema(schema, { target: 'draft-7', io: 'input' });
  return rest;
};
const headersSchema = (properties: object, required: string[]) => ({ type: 'object', properties, required });
const ref = (path: string) => ({ $ref: `#/${path}` });
const correlationId = {
  description: 'Of the trace.',
  location: `$message.header#/${headerNames.traceparent}`,
};

const originRequired = [originHeaders.storedAt, originHeaders.sequence, originHeaders.subject];

const messages = {
  event: {
    title: 'An event',
    summary: 'One fact that a source told about one transaction, as the gateway publishes it.',
    contentType: 'application/json',
    correlationId,
    headers: headersSchema(own, [headerNames.messageId, headerNames.version, headerNames.traceparent]),
    payload: payloadOf(paymentEventSchema),
  },
  eventByHand: {
    title: 'An event, published by hand',
    summary: 'What the reader takes of anybody: the rest has defaults.',
    contentType: 'application/json',
    headers: headersSchema(own, []),
    payload: payloadOf(eventByHandSchema),
  },
  unmapped: {
    title: 'A webhook that no event was made of',
    summary:
      'It was verified and not understood, or not all of it: kept with its body, so that nothing is gone.',
    contentType: 'application/json',
    correlationId,
    headers: headersSchema(own, [headerNames.messageId, headerNames.version, headerNames.traceparent]),
    payload: payloadOf(unmappedSchema),
  },
  setAside: {
    title: 'A message of a backlog',
    summary: 'Byte for byte as it was, to be applied when it is due.',
    description: `Headers that begin with \`Nats-\` are orders to the broker and are not copied.`,
    correlationId,
    headers: headersSchema(copied, [headerNames.messageId, ...originRequired]),
    payload: { description: 'An event, a webhook that no event was made of, or what nobody has read yet.' },
  },
  deadLetter: {
    title: 'A dead letter',
    summary: 'A message that cannot be applied, byte for byte as it was, and why.',
    correlationId,
    headers: headersSchema({ ...copied, ...headersOf(deadLetterHeaders, deadLetterMeanings) }, [
      headerNames.messageId,
      ...originRequired,
      deadLetterHeaders.reason,
      deadLetterHeaders.detail,
      deadLetterHeaders.deliveries,
    ]),
    payload: { description: 'Whatever it was: some are no JSON.' },
  },
  refused: {
    title: 'A refused webhook',
    summary:
      'Its bytes, when it came, and the headers that its source verifies by: it can be verified again.',
    contentType: 'application/json',
    headers: headersSchema({}, []),
    payload: payloadOf(refusedSchema),
  },
};

const tokenOf = (subject: string) => subject.slice(subject.lastIndexOf('.') + 1);
const actionTokens = actions.map((action) => tokenOf(subjectOf(action)));
const kinds = [...actionTokens, tokenOf(unmappedSubject)];

const kindOf = (tokens: string[]) => ({ kind: { enum: tokens, description: 'The action in lower case.' } });

const channelOf = (
  address: string,
  said: { parameters?: object; summary: string; description: string },
  ...names: (keyof typeof messages)[]
) => ({
  address,
  ...said,
  messages: Object.fromEntries(names.map((name) => [name, ref(`components/messages/${name}`)])),
});

const channels = {
  payments: channelOf(
    'payments.{kind}',
    {
      parameters: kindOf(actionTokens),
      summary: 'Events that wait to be applied.',
      description: `Work queue \`${paymentStreamName}\`: an applied event leaves it.`,
    },
    'event',
    'eventByHand',
  ),
  unmapped: channelOf(
    unmappedSubject,
    {
      summary: 'Webhooks that no event was made of.',
      description: `In the same stream, \`${paymentStreamName}\`.`,
    },
    'unmapped',
  ),
  backlog: channelOf(
    'backlog.payments.{kind}',
    {
      parameters: kindOf([...kinds, 'unknown']),
      summary: 'What was set aside after an outage and waits for its turn.',
      description: `Work queue \`${backlogStreamName}\`; payment-service paces.`,
    },
    'setAside',
  ),
  deadLetters: channelOf(
    'dead-letters.payments.{kind}',
    {
      parameters: kindOf([...kinds, 'unknown']),
      summary: 'What cannot be applied.',
      description: `Stream \`${deadLetterStreamName}\`: kept until it was applied again or taken out.`,
    },
    'deadLetter',
  ),
  refused: channelOf(
    `${refusedPrefix}{source}.{reason}`,
    {
      parameters: {
        source: { description: 'The name of the source that it was sent to.' },
        reason: { enum: [...refusalReasons], description: 'The code that its sender was told.' },
      },
      summary: 'Webhooks that were refused, for a person to look at.',
      description: `Stream \`${refusedStreamName}\`: the oldest make room. Nobody was promised that they stay.`,
    },
    'refused',
  ),
};

const operationOf = (action: 'send' | 'receive', channel: keyof typeof channels, summary: string) => ({
  action,
  channel: ref(`channels/${channel}`),
  summary,
});

/** The AsyncAPI 3.0 document of all that crosses the broker and stays, from the schemas that read and write it. */
export const asyncapi = {
  asyncapi: '3.0.0',
  info: {
    title: 'Paystream on the broker',
    version: '1.0.0',
    description:
      'Payment events over NATS JetStream. Delivery is at least once; `eventId` tells a repeat from an event.',
  },
  defaultContentType: 'application/json',
  channels,
  operations: {
    gatewayPublishesEvent: operationOf('send', 'payments', 'third-party-gateway, before it answers 200.'),
    gatewayPublishesUnmapped: operationOf('send', 'unmapped', 'third-party-gateway, before it answers 200.'),
    paymentServiceAppliesEvent: operationOf(
      'receive',
      'payments',
      'payment-service, exactly once in effect.',
    ),
    paymentServiceKeepsUnmapped: operationOf('receive', 'unmapped', 'payment-service, which keeps the body.'),
    paymentServiceSetsAside: operationOf('send', 'backlog', 'payment-service, after an outage.'),
    paymentServiceReplays: operationOf('receive', 'backlog', 'payment-service, each message when it is due.'),
    paymentServicePutsAside: operationOf(
      'send',
      'deadLetters',
      'payment-service, before the message leaves its queue.',
    ),
    gatewayKeepsRefused: operationOf('send', 'refused', 'third-party-gateway, after its answer.'),
  },
  components: { messages },
};

/** The document as it lies beside the definitions of the streams. */
export const asyncapiFile = (): DefinitionFile => ({
  name: 'asyncapi.json',
  text: `${JSON.stringify(asyncapi, null, 2)}\n`,
});
