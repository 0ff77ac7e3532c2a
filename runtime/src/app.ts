import { STATUS_CODES } from 'node:http';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import express, {
  type ErrorRequestHandler,
  type Express,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import type { Log } from './log.ts';
import { Problem, requestIdOf, sendProblem } from './problems.ts';

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
}

/** The HTTP side that both services share: health, API pages, one log line per request, errors as problem documents. */
export function createApp({ log, readiness, openapi, routes }: AppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(requestLine(log));

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
  mountPages(app);
  routes(app);

  app.use((req) => {
    throw new Problem('not-found', `There is no ${req.method} ${req.path.slice(0, 200)} here.`);
  });
  app.use(toProblem(log));
  return app;
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
export function addToLine(res: Response, fields: Record<string, unknown>): void {
  Object.assign(res.locals, fields);
}

// Health checks come every few seconds and say nothing new.
const quietPaths: ReadonlySet<string> = new Set(['/', '/healthz', '/readyz', '/metrics']);

function requestLine(log: Log): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(req);
    res.locals = { requestId };
    res.setHeader('x-request-id', requestId);
    res.setHeader('x-content-type-options', 'nosniff');
    const path = req.path;
    res.on('close', () => {
      const level = quietPaths.has(path) ? 'debug' : 'info';
      const durationMs = Math.round((performance.now() - startedAt) * 10) / 10;
      const aborted = res.writableFinished ? {} : { aborted: true };
      const status = res.statusCode;
      log[level](
        { ...res.locals, method: req.method, path: path.slice(0, 200), status, durationMs, ...aborted },
        'request.answered',
      );
    });
    next();
  };
}

/** The one place where an error becomes an answer. What the code did not decide is a 500 without detail. */
function toProblem(log: Log): ErrorRequestHandler {
  return (error: unknown, _req: Request, res: Response, _next) => {
    const requestId = String(res.locals.requestId ?? 'none');
    const problem = error instanceof Problem ? error : fromUnknown(error);
    if (problem.code === 'internal-error') log.error({ requestId, err: error }, 'request.failed');
    addToLine(res, { code: problem.code });
    sendProblem(res, problem, requestId);
  };
}

/** Express itself refuses a path that is not valid percent-encoding. */
function fromUnknown(error: unknown): Problem {
  const status = error instanceof Error && 'status' in error ? error.status : undefined;
  if (status === 400) return new Problem('malformed-request', 'The address cannot be decoded.');
  return new Problem('internal-error', `${STATUS_CODES[500]}. The request id finds it in the log.`);
}

/** A readable page of the API from a package on disk: it works without internet. */
function mountPages(app: Express): void {
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  const start = `window.onload = () => { window.ui = SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui',
  deepLinking: true, presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset], layout: 'StandaloneLayout' }); };`;
  app.get('/api-docs/swagger-initializer.js', (_req, res) => void res.type('text/javascript').send(start));
  app.use('/api-docs', express.static(folder, { index: 'index.html' }));
}
