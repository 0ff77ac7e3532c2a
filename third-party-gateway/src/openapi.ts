import { healthPaths, problemResponses } from '@paystream/runtime';
import { z } from 'zod';
import { createDocument } from 'zod-openapi';
import { webhookIdHeader, xPaymentBodySchema } from './adapters/x-payment.ts';

const acceptedSchema = z
  .strictObject({
    message: z.literal('success'),
    duplicate: z.boolean().meta({ description: 'True when the stream held this event already.' }),
    id: z.string().meta({ description: 'The message id: <txId>.<action>.<fingerprint>.' }),
    sequence: z
      .int()
      .min(1)
      .meta({ description: 'The place in the stream, of the first copy for a duplicate.' }),
  })
  .meta({ id: 'Accepted' });

/** The API of this service, from the schemas that validate. */
export const openapi: object = createDocument({
  openapi: '3.1.0',
  info: {
    title: 'Paystream third-party-gateway',
    version: '1.0.0',
    description: 'Takes webhooks of third parties. A webhook answered 200 is on disk.',
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
          ...problemResponses(
            'malformed-request',
            'invalid-event',
            'request-timeout',
            'body-too-large',
            'unsupported-media-type',
            'broker-unavailable',
          ),
        },
      },
    },
    ...healthPaths,
  },
});
