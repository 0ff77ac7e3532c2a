import { healthPaths, metricsPaths, problemResponses } from '@paystream/runtime';
import { z } from 'zod';
import { createDocument } from 'zod-openapi';
import { deadLetterPaths } from './dead-letter-openapi.ts';
import { json, operators, viewers } from './openapi-parts.ts';
import { replayChangeSchema, replaySchema } from './replay-schemas.ts';
import {
  listQuerySchema,
  transactionPageSchema,
  transactionQuerySchema,
  transactionSchema,
} from './schemas.ts';
import {
  receivedWebhookSchema,
  translationRequestSchema,
  translationSchema,
  webhookIdSchema,
} from './webhook-schemas.ts';

const webhookParams = {
  path: z.object({
    id: webhookIdSchema.meta({
      description: 'The webhookId of a history entry, or of a line of the log.',
      example: '0123456789abcdef0123456789abcdef',
    }),
  }),
};

/** The API of this service, from the schemas that validate. */
export const openapi: object = createDocument({
  openapi: '3.1.0',
  info: {
    title: 'Paystream payment-service',
    version: '1.0.0',
    description: 'Answers questions about transactions: what third parties said, and what it amounts to.',
  },
  components: {
    securitySchemes: {
      operatorToken: { type: 'http', scheme: 'bearer', description: 'A token of OPERATOR_TOKENS.' },
    },
  },
  paths: {
    '/transactions/{txId}': {
      get: {
        operationId: 'getTransaction',
        summary: 'One transaction with its history in fold order',
        security: viewers,
        requestParams: {
          path: z.object({
            txId: z
              .string()
              .regex(/^[A-Za-z0-9_.:-]{1,128}$/)
              .meta({
                description: 'A UUID in any letter case, or <source>:<id>.',
                example: '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90',
              }),
          }),
          query: transactionQuerySchema,
          header: z.object({
            'if-none-match': z
              .string()
              .optional()
              .meta({ description: 'The ETag of an earlier answer.', example: '"1"' }),
          }),
        },
        responses: {
          '200': {
            description: 'The transaction',
            headers: z.object({ etag: z.string().meta({ description: 'Changes with every change.' }) }),
            ...json(transactionSchema),
          },
          '304': { description: 'It has not changed since the given ETag.' },
          ...problemResponses(
            'invalid-parameter',
            'unauthorized',
            'forbidden',
            'unknown-transaction',
            'too-many-requests',
            'database-unavailable',
          ),
        },
      },
    },
    '/transactions': {
      get: {
        operationId: 'listTransactions',
        summary: 'A page of transactions, newest first',
        security: viewers,
        requestParams: { query: listQuerySchema },
        responses: {
          '200': { description: 'A page', ...json(transactionPageSchema) },
          ...problemResponses(
            'invalid-parameter',
            'unauthorized',
            'forbidden',
            'too-many-requests',
            'database-unavailable',
          ),
        },
      },
    },
    '/replay': {
      get: {
        operationId: 'getReplay',
        summary: 'How a backlog is replayed, and how far it is',
        security: viewers,
        responses: {
          '200': { description: 'The replay', ...json(replaySchema) },
          ...problemResponses('unauthorized', 'forbidden'),
        },
      },
      put: {
        operationId: 'changeReplay',
        summary: 'Change pace, mode or pause; every instance follows within a second',
        security: operators,
        requestBody: { required: true, content: { 'application/json': { schema: replayChangeSchema } } },
        responses: {
          '200': { description: 'The replay as it is now', ...json(replaySchema) },
          ...problemResponses(
            'malformed-request',
            'invalid-parameter',
            'unauthorized',
            'forbidden',
            'body-too-large',
            'unsupported-media-type',
            'database-unavailable',
          ),
        },
      },
    },
    ...deadLetterPaths,
    '/webhooks-received/{id}': {
      get: {
        operationId: 'getReceivedWebhook',
        summary: 'A webhook as it came, for 90 days',
        security: viewers,
        requestParams: webhookParams,
        responses: {
          '200': { description: 'The webhook', ...json(receivedWebhookSchema) },
          ...problemResponses(
            'invalid-parameter',
            'unauthorized',
            'forbidden',
            'unknown-webhook',
            'database-unavailable',
          ),
        },
      },
    },
    '/webhooks-received/{id}/translate': {
      post: {
        operationId: 'translateReceivedWebhook',
        summary: 'Translate it once more, with the mapping of today',
        description: 'Events that came of it before are known by their ids, and have no second effect.',
        security: operators,
        requestParams: webhookParams,
        requestBody: { required: true, ...json(translationRequestSchema) },
        responses: {
          '200': { description: 'What was published', ...json(translationSchema) },
          ...problemResponses(
            'malformed-request',
            'invalid-parameter',
            'unauthorized',
            'forbidden',
            'unknown-webhook',
            'translation-failed',
            'body-too-large',
            'unsupported-media-type',
            'broker-unavailable',
            'database-unavailable',
          ),
        },
      },
    },
    ...healthPaths,
    ...metricsPaths,
  },
});
