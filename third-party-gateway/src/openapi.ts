import { healthPaths, metricsPaths, problemResponses } from '@paystream/runtime';
import { z } from 'zod';
import { createDocument } from 'zod-openapi';
import { webhookIdHeader, xPaymentBodySchema } from './adapters/x-payment.ts';
import { refusedPaths } from './refused-openapi.ts';

const acceptedSchema = z
  .strictObject({
    message: z.literal('success'),
    duplicate: z.boolean().meta({ description: 'True when the stream held this event already.' }),
    id: z.string().meta({ description: 'The message id: <txId>.<action>.<fingerprint>.' }),
    sequence: z
      .int()
      .min(1)
      .meta({ description: 'The place in the stream, of the first copy for a duplicate.' }),
    messages: z
      .array(z.strictObject({ id: z.string(), sequence: z.int().min(1), duplicate: z.boolean() }))
      .optional()
      .meta({
        description: 'Where several came of one webhook: each; the fields above are those of the first.',
      }),
  })
  .meta({ id: 'Accepted' });

// All that a webhook can be answered with, whoever sends it.
const refusals = problemResponses(
  'malformed-request',
  'invalid-event',
  'signature-missing',
  'signature-malformed',
  'signature-wrong',
  'signature-stale',
  'request-timeout',
  'body-too-large',
  'unsupported-media-type',
  'too-many-requests',
  'overloaded',
  'broker-unavailable',
);

/** The API of this service, from the schemas that validate. */
export const openapi: object = createDocument({
  openapi: '3.1.0',
  info: {
    title: 'Paystream third-party-gateway',
    version: '1.0.0',
    description: 'Takes webhooks of third parties. A webhook answered 200 is on disk.',
  },
  components: {
    securitySchemes: {
      operatorToken: { type: 'http', scheme: 'bearer', description: 'A token of OPERATOR_TOKENS.' },
    },
  },
  paths: {
    '/webhooks/x-payment': {
      post: {
        operationId: 'receiveXPaymentWebhook',
        summary: 'Take one x-payment webhook',
        description:
          'The same event may be sent again: it is applied once. Two otherwise equal events are told apart by the ' +
          `header ${webhookIdHeader}.`,
        requestParams: {
          header: z.object({
            [webhookIdHeader]: z
              .string()
              .regex(/^[\x21-\x7e]{1,255}$/)
              .optional()
              .meta({ description: 'The id that the source gives this event.', example: 'evt-1' }),
          }),
        },
        requestBody: { required: true, content: { 'application/json': { schema: xPaymentBodySchema } } },
        responses: {
          '200': {
            description: 'The event is stored.',
            content: { 'application/json': { schema: acceptedSchema } },
          },
          ...refusals,
        },
      },
    },
    '/webhooks/{source}': {
      post: {
        operationId: 'receiveWebhook',
        summary: 'Take one webhook of a configured source',
        description:
          'What the body holds and which headers sign it, the adapter of the source decides (docs/adapters.md). What is ' +
          'verified and not understood is answered 200 and kept.',
        requestParams: {
          path: z.object({
            source: z
              .string()
              .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
              .meta({ description: 'The name of the source.', example: 'standard-webhooks' }),
          }),
        },
        requestBody: {
          required: true,
          content: {
            'application/json': {
              schema: z.looseObject({}).meta({ example: { type: 'contact.created', data: {} } }),
            },
          },
        },
        responses: {
          '200': {
            description: 'All that came of it is stored.',
            content: {
              'application/json': { schema: acceptedSchema },
              'text/plain': { schema: z.literal('[accepted]') },
            },
          },
          ...refusals,
          ...problemResponses('unknown-source'),
        },
      },
    },
    ...refusedPaths,
    ...healthPaths,
    ...metricsPaths,
  },
});
