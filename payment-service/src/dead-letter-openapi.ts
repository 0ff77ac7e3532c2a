import { problemResponses } from '@paystream/runtime';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import {
  deadLetterPageSchema,
  deadLetterQuerySchema,
  deadLetterSchema,
  redriveManySchema,
  redrivenManySchema,
  redrivenSchema,
  redriveOneSchema,
  redrivePageSchema,
  redriveQuerySchema,
} from './dead-letter-schemas.ts';
import { json, operators, viewers } from './openapi-parts.ts';

const path = z.object({
  sequence: z.int().min(1).meta({ description: 'Its place among the dead letters.', example: 1 }),
});
const refusals = [
  'malformed-request',
  'invalid-parameter',
  'unauthorized',
  'forbidden',
  'body-too-large',
  'unsupported-media-type',
  'dead-letters-unavailable',
  'database-unavailable',
] as const;
const body = (schema: z.ZodType) => ({ required: true, ...json(schema) });

/** What can be done with dead letters. */
export const deadLetterPaths: ZodOpenApiPathsObject = {
  '/dead-letters': {
    get: {
      operationId: 'listDeadLetters',
      summary: 'A page of dead letters, oldest first',
      security: viewers,
      requestParams: { query: deadLetterQuerySchema },
      responses: {
        '200': { description: 'A page', ...json(deadLetterPageSchema) },
        ...problemResponses(
          'invalid-parameter',
          'unauthorized',
          'forbidden',
          'dead-letters-unavailable',
          'database-unavailable',
        ),
      },
    },
  },
  '/dead-letters/{sequence}': {
    get: {
      operationId: 'getDeadLetter',
      summary: 'One dead letter, as it is read and as it came, and its redrives',
      security: viewers,
      requestParams: { path },
      responses: {
        '200': { description: 'The dead letter', ...json(deadLetterSchema) },
        ...problemResponses(
          'invalid-parameter',
          'unauthorized',
          'forbidden',
          'unknown-dead-letter',
          'dead-letters-unavailable',
          'database-unavailable',
        ),
      },
    },
  },
  '/dead-letters/{sequence}/redrive': {
    post: {
      operationId: 'redriveDeadLetter',
      summary: 'Applies it again; what is recorded is recorded once, and leaves the dead letters',
      security: operators,
      requestParams: { path },
      requestBody: body(redriveOneSchema),
      responses: {
        '200': { description: 'What came of it', ...json(redrivenSchema) },
        ...problemResponses(...refusals, 'unknown-dead-letter'),
      },
    },
  },
  '/dead-letters/redrive': {
    post: {
      operationId: 'redriveDeadLetters',
      summary: 'The same with all that match, 50 a second, a bounded number of them by one call',
      security: operators,
      requestBody: body(redriveManySchema),
      responses: {
        '200': { description: 'What came of each', ...json(redrivenManySchema) },
        ...problemResponses(...refusals),
      },
    },
  },
  '/redrives': {
    get: {
      operationId: 'listRedrives',
      summary: 'Who had which dead letter applied again, when, why, and what came of it; newest first',
      security: viewers,
      requestParams: { query: redriveQuerySchema },
      responses: {
        '200': { description: 'A page', ...json(redrivePageSchema) },
        ...problemResponses('invalid-parameter', 'unauthorized', 'forbidden', 'database-unavailable'),
      },
    },
  },
};
