import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Every code that an error answer can carry, with its status and title. The README lists the same. */
export const problems = {
  'malformed-request': { status: 400, title: 'The request cannot be read' },
  'invalid-event': { status: 400, title: 'The event breaks a rule' },
  'invalid-parameter': { status: 400, title: 'A parameter breaks a rule' },
  unauthorized: { status: 401, title: 'An operator token is needed' },
  'signature-missing': { status: 401, title: 'The webhook is not signed' },
  'signature-malformed': { status: 401, title: 'The signature cannot be read' },
  'signature-wrong': { status: 401, title: 'The signature is not the one of this webhook' },
  'signature-stale': { status: 401, title: 'The signature is too old, or of the future' },
  forbidden: { status: 403, title: 'This is not allowed' },
  'not-found': { status: 404, title: 'There is nothing at this address' },
  'unknown-source': { status: 404, title: 'No such source is configured' },
  'unknown-transaction': { status: 404, title: 'No such transaction' },
  'unknown-dead-letter': { status: 404, title: 'No such dead letter' },
  'unknown-refused-webhook': { status: 404, title: 'No such refused webhook is kept' },
  'unknown-webhook': { status: 404, title: 'No such webhook is kept' },
  'method-not-allowed': { status: 405, title: 'This address does not take that method' },
  'translation-failed': { status: 409, title: 'The webhook cannot be translated' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The body has the wrong type' },
  'too-many-requests': { status: 429, title: 'Too many requests at once' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  'internal-error': { status: 500, title: 'Something went wrong here' },
  overloaded: { status: 503, title: 'The service has too much in hand' },
  'broker-unavailable': { status: 503, title: 'The event cannot be stored now' },
  'refused-unavailable': { status: 503, title: 'The refused webhooks cannot be asked for now' },
  'dead-letters-unavailable': { status: 503, title: 'The dead letters cannot be asked for now' },
  'database-unavailable': { status: 503, title: 'The database cannot be asked now' },
} as const;

export type ProblemCode = keyof typeof problems;
export const problemCodes = Object.keys(problems) as ProblemCode[];

export interface FieldError {
  field: string;
  message: string;
}

/** What the code did not accept: thrown at the HTTP edge, answered as a problem document (RFC 9457). */
export class Problem extends Error {
  override name = 'Problem';
  readonly code: ProblemCode;
  readonly errors: readonly FieldError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { errors?: readonly FieldError[]; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.code = code;
    this.errors = options.errors;
    this.headers = options.headers ?? {};
  }
}

/** A problem that passes by itself: the same request may be taken after so many seconds. */
export const askAgain = (code: ProblemCode, detail: string, afterS = 2): Problem =>
  new Problem(code, detail, { headers: { 'retry-after': String(afterS) } });

const requestIdPattern = /^[A-Za-z0-9_.:-]{1,64}$/;

/** The sender's `x-request-id` where it is harmless in a log, else a new one. */
export function requestIdOf(req: IncomingMessage): string {
  const given = req.headers['x-request-id'];
  return typeof given === 'string' && requestIdPattern.test(given) ? given : randomUUID();
}

/** The body of an error answer; `message` repeats `detail` for clients of the reference system. */
export function problemBody(problem: Problem, requestId: string) {
  const { status, title } = problems[problem.code];
  return {
    type: `urn:paystream:problem:${problem.code}`,
    title,
    status,
    detail: problem.message,
    code: problem.code,
    requestId,
    message: problem.message,
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  };
}

/** Answers with the problem document; an answer that has begun already is cut, so that nobody takes it for whole. */
export function sendProblem(res: ServerResponse, problem: Problem, requestId: string): void {
  if (res.headersSent) {
    if (!res.writableEnded) res.destroy();
    return;
  }
  const body = JSON.stringify(problemBody(problem, requestId));
  res.writeHead(problems[problem.code].status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-request-id': requestId,
    ...problem.headers,
  });
  res.end(body);
}
