import { type IncomingMessage, type RequestListener, type ServerResponse, STATUS_CODES } from 'node:http';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import type { Log } from './log.ts';
import { mountPages } from './pages.ts';
import { Problem, requestIdOf, sendProblem } from './problems.ts';
import { checkRequest } from './request-rules.ts';
import { beginRequestTrace } from './request-trace.ts';
import { newTraceparent } from './traceparent.ts';
import type { Tracing } from './tracing.ts';

/** One thing that the service needs to do its job. */
export interface PartState {
  ok: boolean;
  detail: string;
}

export interface Readiness {
  ready: boolean;
  parts: Record<string, PartState>;
  /** What an acknowledgement is worth here, for instance how the broker syncs. */
  durability?: Record<string, string>;
}

export interface AppOptions {
  log: Log;
  readiness: () => Readiness;
  /** The OpenAPI 3.1 document, made from the schemas that validate. */
  openapi: object;
  /** Mounts the service's own routes. */
  routes: (app: Express) => void;
  tracing?: Tracing | undefined;
}

/** The HTTP side that both services share: health, API pages, one log line per request, errors as problem documents. */
export function createApp({ log, readiness, openapi, routes, tracing }: AppOptions): RequestListener {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.enable('case sensitive routing');
  // Said though it is the default: nothing here is decided by an address, so no header may tell us one.
  app.set('trust proxy', false);
  app.use((req, res, next) => {
    begin({ log, tracing }, { req, res, path: req.path, route: () => req.route?.path });
    next();
  });

  app.get('/', (_req, res) => void res.type('text/plain').send('OK'));
  app.get('/healthz', (_req, res) => void res.json({ status: 'alive' }));
  app.get('/readyz', (_req, res) => {
    const state = readiness();
    res.set('cache-control', 'no-store').status(state.ready ? 200 : 503);
    res.json({
      status: state.ready ? 'ready' : 'not-ready',
      parts: state.parts,
      durability: state.durability,
    });
  });
  app.get('/openapi.json', (_req, res) => void res.json(openapi));
  app.all(['/', '/healthz', '/readyz', '/openapi.json'], onlyMethods('GET', 'HEAD'));
  mountPages(app);
  routes(app);

  app.use((req) => {
    throw new Problem('not-found', `There is no ${req.method} ${req.path.slice(0, 200)} here.`);
  });
  app.use(toProblem(log));
  // Express calls nobody of ours for an address in which it finds no path, such as `http://[`.
  const left = (error: unknown) =>
    createDirect({ log, tracing }, async () => {
      throw error ?? new Problem('malformed-request', 'The address cannot be read.');
    });
  // Its types know the third argument for requests of its own alone.
  return (req, res) => Reflect.apply(app, undefined, [req, res, (error: unknown) => left(error)(req, res)]);
}

/** An answer with what its log line will tell. */
export type Answer = ServerResponse & { locals: Record<string, unknown>; traceparent?: string };

/** The trace of the request, for whatever comes of it. */
export const traceparentOf = (res: Answer): string => res.traceparent ?? newTraceparent();

export type Handler = (req: IncomingMessage, res: Answer) => Promise<void>;

/**
 * One handler without Express, which takes more time than all else that a webhook needs. Around it is what `createApp` puts
 * around its routes: the log line, the checks, and errors as problem documents. For addresses without a query.
 */
export function createDirect(
  { route, ...around }: Around & { route?: string | undefined },
  handler: Handler,
): RequestListener {
  return (req, bare) => {
    const res: Answer = Object.assign(bare, { locals: {} });
    const run = async () => {
      // A query may hold anything, a token among it: no log has it.
      begin(around, { req, res, path: (req.url ?? '').split('?', 1)[0] ?? '', route: () => route });
      await handler(req, res);
    };
    run().catch((error: unknown) => answerProblem(around.log, res, error));
  };
}

/** 200 with a JSON body, to the byte as Express writes it. */
export function sendJson(res: ServerResponse, value: unknown): void {
  sendOk(res, 'application/json', JSON.stringify(value));
}

/** 200 with a text, to the byte as Express writes it. */
export function sendText(res: ServerResponse, text: string): void {
  sendOk(res, 'text/plain', text);
}

function sendOk(res: ServerResponse, type: string, body: string): void {
  res.statusCode = 200;
  res.setHeader('Content-Type', `${type}; charset=utf-8`);
  res.setHeader('Content-Length', Buffer.byteLength(body));
  res.end(body);
}

/** Answers 405 for the other methods of a known address. Mount it behind the ones that are taken. */
export function onlyMethods(...allowed: string[]): RequestHandler {
  return (req) => {
    throw new Problem('method-not-allowed', `${req.method} is not taken here, only ${allowed.join(', ')}.`, {
      headers: { allow: allowed.join(', ') },
    });
  };
}

/** Fields that a handler adds to the request's one log line. */
export function addToLine(res: Pick<Answer, 'locals'>, fields: Record<string, unknown>): void {
  Object.assign(res.locals, fields);
}

// Health checks come every few seconds and say nothing new.
const quietPaths: ReadonlySet<string> = new Set(['/', '/healthz', '/readyz', '/metrics']);

interface Around {
  log: Log;
  tracing?: Tracing | undefined;
}

interface Begun {
  req: IncomingMessage;
  res: Answer;
  path: string;
  /** The address without what differs from one request to the next, when it is known. */
  route: () => string | undefined;
}

/** What comes before every handler. Throws what is wrong with any request, whatever its address. */
function begin({ log, tracing }: Around, { req, res, path, route }: Begun): void {
  const startedAt = performance.now();
  const requestId = requestIdOf(req);
  const isQuiet = quietPaths.has(path);
  const trace = beginRequestTrace(req, { path, tracing: isQuiet ? undefined : tracing });
  res.traceparent = trace.traceparent;
  res.locals = { requestId, traceId: trace.traceId };
  res.setHeader('x-request-id', requestId);
  res.setHeader('x-content-type-options', 'nosniff');
  res.once('close', () => {
    const durationMs = Math.round((performance.now() - startedAt) * 10) / 10;
    // A client that went away was told nothing, whatever the handler meant to say.
    const status = res.headersSent ? res.statusCode : undefined;
    const aborted = res.writableFinished ? undefined : true;
    const level = isQuiet ? 'debug' : status !== undefined && status >= 500 ? 'warn' : 'info';
    // Added to and not copied: a copy of so many fields costs three times as much as the line that is made of it.
    addToLine(res, { method: req.method, path: path.slice(0, 200), status, durationMs, aborted });
    log[level](res.locals, 'request.answered');
    trace.end({ status, route: route() });
  });
  checkRequest(req);
}

function toProblem(log: Log): ErrorRequestHandler {
  return (error: unknown, _req, res, _next) => answerProblem(log, res, error);
}

/** The one place where an error becomes an answer. What the code did not decide is a 500 without detail. */
function answerProblem(log: Log, res: Answer, error: unknown): void {
  const requestId = String(res.locals.requestId ?? 'none');
  const { traceId } = res.locals;
  const problem = error instanceof Problem ? error : fromUnknown(error);
  if (problem.code === 'internal-error') log.error({ requestId, traceId, err: error }, 'request.failed');
  if (!res.headersSent) addToLine(res, { code: problem.code, problem: printable(problem.message) });
  sendProblem(res, problem, requestId);
}

/** Names of fields that a sender chose stand in a problem's words: none may end the line or fill the disk. */
function printable(text: string): string {
  return text.slice(0, 300).replaceAll(/[^ -~]/g, '?');
}

/** Express itself refuses a path that is not valid percent-encoding, and conditions on a file that do not hold. */
function fromUnknown(error: unknown): Problem {
  const status = error instanceof Error && 'status' in error ? Number(error.status) : 500;
  const isAboutBody = error instanceof Error && 'type' in error;
  if (status === 413) return new Problem('body-too-large', 'The body is too large.');
  if (status === 400 && isAboutBody) return new Problem('malformed-request', 'The body is not JSON.');
  if (status === 400) return new Problem('malformed-request', 'The address cannot be decoded.');
  if (status > 400 && status < 500)
    return new Problem('malformed-request', 'A header of the request cannot be met.');
  return new Problem('internal-error', `${STATUS_CODES[500]}. The request id finds it in the log.`);
}
