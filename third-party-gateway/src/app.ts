import type { RequestListener } from 'node:http';
import {
  createApp,
  createDirect,
  createTurn,
  createTurnAway,
  type Log,
  type MetricsRoute,
  mountMetrics,
  onlyMethods,
  type Readiness,
  type Tracing,
} from '@paystream/runtime';
import { createBodies } from './bodies.ts';
import { createIntake, type IntakeOptions } from './intake.ts';
import { openapi } from './openapi.ts';
import { mountRefused, type RefusedRoutesOptions } from './refused-routes.ts';

export interface GatewayOptions extends Omit<IntakeOptions, 'bodies'>, RefusedRoutesOptions {
  log: Log;
  readiness: () => Readiness;
  tracing?: Tracing | undefined;
  metrics: MetricsRoute;
  /** Whether a plain webhook is taken without Express. The answers are the same to the byte. */
  direct?: boolean;
}

const route = '/webhooks/:source';
// Whatever is written in another way (a query, an escape, a slash at the end) is for Express to understand.
const webhookPath = /^\/webhooks\/([A-Za-z0-9_-]+)$/;

// About a thousand webhooks. With the 4 s that the broker may take, the last of them is answered within 5 s.
const turnLastsMs = 500;

/** The gateway's HTTP side. */
export function createGateway({
  log,
  readiness,
  tracing,
  metrics,
  direct = true,
  ...options
}: GatewayOptions): RequestListener {
  const bodies = createBodies();
  const turn = createTurn({ lastsMs: turnLastsMs });
  const intake = createIntake({ ...options, bodies });
  const app = createApp({
    log,
    readiness,
    openapi,
    tracing,
    routes: (routes) => {
      routes.post(route, (req, res) => intake(req, res, String(req.params.source)));
      routes.all(route, onlyMethods('POST'));
      mountRefused(routes, options);
      mountMetrics(routes, metrics);
    },
  });
  const sourceOf = ({ method, url = '' }: { method?: string | undefined; url?: string | undefined }) =>
    method === 'POST' ? webhookPath.exec(url)?.[1] : undefined;
  const takeDirectly = createDirect({ log, tracing, route }, (req, res) =>
    intake(req, res, sourceOf(req) ?? ''),
  );
  const serve: RequestListener = (req, res) =>
    direct && sourceOf(req) !== undefined ? takeDirectly(req, res) : app(req, res);
  const turnAway = createTurnAway(log);
  // Whoever looks whether we are well is answered all the same.
  const isTurnedAway = ({ method }: { method?: string | undefined }) =>
    method === 'POST' && (turn.isSpent() || !bodies.haveRoom() || !options.publisher.hasRoom());
  return (req, res) => {
    if (!isTurnedAway(req)) return serve(req, res);
    options.observe.turnedAway();
    turnAway(req, res);
  };
}
