import { problemResponses } from '@paystream/runtime';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import {
  refusedPageSchema,
  refusedQuerySchema,
  refusedSchema,
  retriedSchema,
  retrySchema,
} from './refused-schemas.ts';

const path = z.object({
  sequence: z.int().min(1).meta({ description: 'Its place among the refused ones.', example: 1 }),
});
// Third parties reach this service, through a proxy on its own machine too: nobody looks without a token.
const security = [{ operatorToken: [] }];
const json = (schema: z.ZodType) => ({ content: { 'application/json': { schema } } });

/** What can be done with webhooks that were refused. */
export const refusedPaths: ZodOpenApiPathsObject = {
  '/refused': {
    get: {
      operationId: 'listRefusedWebhooks',
      summary: 'A page of refused webhooks, oldest first',
      security,
      requestParams: { query: refusedQuerySchema },
      responses: {
        '200': { description: 'A page', ...json(refusedPageSchema) },
        ...problemResponses('invalid-parameter', 'unauthorized', 'forbidden', 'refused-unavailable'),
      },
    },
  },
  '/refused/{sequence}': {
    get: {
      operationId: 'getRefusedWebhook',
      summary: 'One refused webhook as it came, with the headers that it is verified by',
      security,
      requestParams: { path },
      responses: {
        '200': { description: 'The webhook', ...json(refusedSchema) },
        ...problemResponses(
          'invalid-parameter',
          'unauthorized',
          'forbidden',
          'unknown-refused-webhook',
          'refused-unavailable',
        ),
      },
    },
  },
  '/refused/{sequence}/retry': {
    post: {
      operationId: 'retryRefusedWebhook',
      summary: 'Verifies it with the secrets of today and the time at which it came, and publishes it',
      description:
        'What is published leaves the refused ones. What its sender sent again meanwhile is known, and has no second effect.',
      security,
      requestParams: { path },
      requestBody: { required: true, ...json(retrySchema) },
      responses: {
        '200': { description: 'What came of it', ...json(retriedSchema) },
        ...problemResponses(
          'malformed-request',
          'invalid-parameter',
          'unauthorized',
          'forbidden',
          'unknown-refused-webhook',
          'body-too-large',
          'unsupported-media-type',
          'broker-unavailable',
          'refused-unavailable',
        ),
      },
    },
  },
};
