import type { RequestListener } from 'node:http';
import {
  createApp,
  createDirect,
  type Log,
  type MetricsRoute,
  mountMetrics,
  onlyMethods,
  type Readiness,
  type Tracing,
} from '@paystream/runtime';
import { createIntake, type IntakeOptions } from './intake.ts';
import { openapi } from './openapi.ts';
import { mountRefused, type RefusedRoutesOptions } from './refused-routes.ts';

export interface GatewayOptions extends IntakeOptions, RefusedRoutesOptions {
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

/** The gateway's HTTP side. */
export function createGateway({
  log,
  readiness,
  tracing,
  metrics,
  direct = true,
  ...options
}: GatewayOptions): RequestListener {
  const intake = createIntake(options);
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
  if (!direct) return app;
  const sourceOf = ({ method, url = '' }: { method?: string | undefined; url?: string | undefined }) =>
    method === 'POST' ? webhookPath.exec(url)?.[1] : undefined;
  const takeDirectly = createDirect({ log, tracing, route }, (req, res) =>
    intake(req, res, sourceOf(req) ?? ''),
  );
  return (req, res) => (sourceOf(req) === undefined ? app(req, res) : takeDirectly(req, res));
}
