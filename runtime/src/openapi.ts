import { z } from 'zod';
import type { ZodOpenApiPathsObject, ZodOpenApiResponsesObject } from 'zod-openapi';
import { type ProblemCode, problemCodes, problems } from './problems.ts';

/** Every error answer of both services (RFC 9457). */
export const problemSchema = z
  .strictObject({
    type: z.string().meta({ description: 'urn:paystream:problem:<code>' }),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: 'What is wrong with this request, in words.' }),
    code: z.enum(problemCodes),
    requestId: z.string().meta({ description: 'Finds the request in the log.' }),
    message: z.string().meta({ description: 'The same as detail.' }),
    errors: z.array(z.strictObject({ field: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

const partSchema = z.strictObject({ ok: z.boolean(), detail: z.string() });
const readinessSchema = z
  .strictObject({
    status: z.enum(['ready', 'not-ready']),
    parts: z.record(z.string(), partSchema),
    durability: z.record(z.string(), z.string()).optional(),
  })
  .meta({ id: 'Readiness' });

/** The error answers of an operation: one entry per status, naming the codes that it can carry. */
export function problemResponses(...codes: ProblemCode[]): ZodOpenApiResponsesObject {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of [...codes, 'internal-error' as const]) {
    const { status } = problems[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, same]) => [
      String(status),
      {
        description: same.map((code) => `${code}: ${problems[code].title}.`).join(' '),
        ...(retryLater.has(status) ? { headers: retryAfter } : {}),
        ...(status === 401 ? { headers: authenticate } : {}),
        content: { 'application/problem+json': { schema: problemSchema } },
      },
    ]),
  );
}

// What is refused for want of room or of a server may be sent again.
const retryLater: ReadonlySet<number> = new Set([429, 503]);
const retryAfter = z.object({
  'retry-after': z.string().regex(/^\d+$/).meta({ description: 'Seconds to wait before sending again.' }),
});

const authenticate = z.object({
  'www-authenticate': z.string().meta({ description: 'Which kind of token is needed.', example: 'Bearer' }),
});

const readinessContent = { 'application/json': { schema: readinessSchema } };

/** The health calls of both services. */
export const healthPaths: ZodOpenApiPathsObject = {
  '/': {
    get: {
      operationId: 'hello',
      summary: 'Answers OK',
      responses: { '200': { description: 'OK', content: { 'text/plain': { schema: z.literal('OK') } } } },
    },
  },
  '/healthz': {
    get: {
      operationId: 'healthz',
      summary: 'The process is alive; says nothing about what it depends on',
      responses: {
        '200': {
          description: 'Alive',
          content: { 'application/json': { schema: z.strictObject({ status: z.literal('alive') }) } },
        },
      },
    },
  },
  '/readyz': {
    get: {
      operationId: 'readyz',
      summary: 'The service can do its job; names the part that fails',
      responses: {
        '200': { description: 'Ready', content: readinessContent },
        '503': { description: 'Not ready', content: readinessContent },
      },
    },
  },
};

/** `GET /metrics` of both services. */
export const metricsPaths: ZodOpenApiPathsObject = {
  '/metrics': {
    get: {
      operationId: 'metrics',
      summary: 'What Prometheus collects',
      security: [{ operatorToken: [] }, {}],
      responses: {
        '200': {
          description: 'The text format of Prometheus, version 0.0.4',
          content: { 'text/plain': { schema: z.string() } },
        },
        ...problemResponses('unauthorized', 'forbidden'),
      },
    },
  },
};
