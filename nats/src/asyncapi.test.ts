import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import specs from '@asyncapi/specs';
import { describe, expect, test } from '@jest/globals';
import { newTraceparent } from '@paystream/runtime';
import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { asyncapi, asyncapiFile } from './asyncapi.ts';
import { deadLetterHeaders } from './dead-letter.ts';
import {
  actions,
  type EncodedMessage,
  encodeEvent,
  headerNames,
  identify,
  subjectOf,
  type UnidentifiedEvent,
} from './messages.ts';
import { copiedHeaders, originHeaders } from './origin.ts';
import { streamDefinitions } from './streams.ts';
import { toUnmapped, unmappedSubject } from './webhooks.ts';

const { channels, components, operations } = asyncapi;

function createAjv(): Ajv {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  return ajv;
}

const validator = (
  message: keyof typeof components.messages,
  part: 'headers' | 'payload',
): ValidateFunction => createAjv().compile(components.messages[message][part]);

/** What the document says of them that is not so. */
const faults = (validate: ValidateFunction, value: unknown) => (validate(value) ? [] : validate.errors);

const eventOf = (said: Partial<UnidentifiedEvent> = {}) =>
  identify({
    txId: '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90',
    action: 'NEW',
    amount: 1_250,
    note: 'first order',
    currency: 'EUR',
    reference: 're_1',
    source: 'stripe',
    occurredAt: '2026-01-02T03:04:05.678Z',
    receivedAt: '2026-01-02T03:04:06.789Z',
    webhook: { id: 'a'.repeat(32), deliveryId: 'evt_1', body: '{}' },
    ...said,
  }).event;
const unmapped = toUnmapped({
  source: 'stripe',
  receivedAt: '2026-01-02T03:04:06.789Z',
  webhook: { id: 'a'.repeat(32), body: '{}' },
  reasons: ['no action is mapped'],
});
const sent = (said: Parameters<typeof encodeEvent>[0]) =>
  encodeEvent(said, { traceparent: newTraceparent() });
const headersOnBroker = ({ headers, id }: EncodedMessage) => ({ ...headers, [headerNames.messageId]: id });
const payloadOf = ({ data }: EncodedMessage) => JSON.parse(new TextDecoder().decode(data));

describe('nats/asyncapi.json', () => {
  test('is what the schemas say; to write it anew: npm run provision -- --definitions nats', () => {
    const { name, text } = asyncapiFile();

    expect(readFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), 'utf8')).toBe(text);
  });

  test('is a document of AsyncAPI 3.0, by the schema of its makers', () => {
    const { '3.0.0': schema = {} }: Record<string, object> = specs.schemasWithoutId;
    const validate = createAjv().compile(schema);

    expect(faults(validate, JSON.parse(asyncapiFile().text))).toEqual([]);
    expect(validate({ ...asyncapi, channels: { payments: { adress: 'a misspelt one' } } })).toBe(false);
  });

  test('points only to what it has', () => {
    const text = asyncapiFile().text;
    const resolve = (pointer: string) =>
      pointer.split('/').reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], asyncapi);
    const pointers = [...text.matchAll(/"\$ref": "#\/([^"]+)"/g)].map(([, pointer = '']) => pointer);

    expect(pointers.length).toBeGreaterThan(Object.keys(operations).length);
    expect(pointers.filter((pointer) => resolve(pointer) === undefined)).toEqual([]);
  });

  test('has a channel for the subjects of every stream, with every kind that we publish', () => {
    const addresses = Object.values(channels).map(({ address }) => address);
    const subjects = streamDefinitions().flatMap((stream) => stream.subjects);

    expect(subjects).toEqual(
      addresses
        .filter((address) => address !== unmappedSubject)
        .map((address) => address.replaceAll(/\{\w+\}/g, '*')),
    );
    expect(addresses).toContain(unmappedSubject);
    expect(channels.payments).toMatchObject({
      parameters: { kind: { enum: actions.map((action) => subjectOf(action).replace('payments.', '')) } },
    });
  });
});

describe('a message as it is published', () => {
  test.each(actions)('on %s is as the document says', (action) => {
    const message = sent(eventOf({ action }));

    expect(faults(validator('event', 'payload'), payloadOf(message))).toEqual([]);
    expect(faults(validator('event', 'headers'), headersOnBroker(message))).toEqual([]);
    expect(Object.keys(headersOnBroker(message)).sort()).toEqual(
      Object.keys(components.messages.event.headers.properties).sort(),
    );
  });

  test('of a webhook that no event was made of is as the document says', () => {
    const message = sent(unmapped);

    expect(faults(validator('unmapped', 'payload'), payloadOf(message))).toEqual([]);
    expect(faults(validator('unmapped', 'headers'), headersOnBroker(message))).toEqual([]);
  });

  test.each([
    ['without a transaction', { txId: undefined }],
    ['with an unknown action', { action: 'STOLEN' }],
    ['with a fraction', { amount: 1.5 }],
    ['with a negative amount', { amount: -1 }],
    ['with a wrong time', { receivedAt: 'yesterday' }],
  ])('%s is refused by the document, too', (_name, wrong) => {
    expect(faults(validator('event', 'payload'), { ...eventOf(), ...wrong })).not.toEqual([]);
  });

  test('by hand needs no more than the document says', () => {
    const validate = validator('eventByHand', 'payload');

    expect(faults(validate, { txId: 'a:1', action: 'NEW', amount: 100 })).toEqual([]);
    expect(faults(validate, { txId: 'a:1', action: 'NEW' })).not.toEqual([]);
  });
});

describe('a copy of a message', () => {
  const message = sent(eventOf());
  const headers = new Map(Object.entries(headersOnBroker(message)).map(([name, value]) => [name, [value]]));
  const copied = copiedHeaders({ subject: message.subject, headers, storedAt: new Date(0), sequence: 7 });
  const onBroker = {
    ...Object.fromEntries([...copied].map(([name, [value]]) => [name, value])),
    [headerNames.messageId]: 'payment.7.0',
  };

  test('that is set aside has the headers that the document names, its trace among them', () => {
    expect(faults(validator('setAside', 'headers'), onBroker)).toEqual([]);
    expect(Object.keys(onBroker).sort()).toEqual(
      Object.keys(components.messages.setAside.headers.properties).sort(),
    );
    expect(onBroker).toHaveProperty(headerNames.traceparent, message.headers.traceparent);
  });

  test('among the dead letters has a meaning for every header that we write', () => {
    const names = [headerNames, originHeaders, deadLetterHeaders].flatMap((group) =>
      Object.values<string>(group),
    );

    expect(Object.keys(components.messages.deadLetter.headers.properties).sort()).toEqual(
      [...new Set(names)].sort(),
    );
  });
});
