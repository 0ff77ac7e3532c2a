import type { RequestListener } from 'node:http';
import {
  createApp,
  type Log,
  type MetricsRoute,
  mountMetrics,
  type Readiness,
  type Tracing,
} from '@paystream/runtime';
import { type DeadLetterRoutesOptions, mountDeadLetters } from './dead-letter-routes.ts';
import { openapi } from './openapi.ts';
import { mountReplay, type ReplayRoutesOptions } from './replay-routes.ts';
import { mountTransactions, type TransactionRoutesOptions } from './transaction-routes.ts';
import { mountWebhooks, type WebhookRoutesOptions } from './webhook-routes.ts';

export interface PaymentAppOptions
  extends TransactionRoutesOptions,
    ReplayRoutesOptions,
    DeadLetterRoutesOptions,
    WebhookRoutesOptions,
    MetricsRoute {
  log: Log;
  readiness: () => Readiness;
  tracing?: Tracing | undefined;
}

/** The payment-service's HTTP side. */
export function createPaymentApp({
  log,
  readiness,
  tracing,
  ...options
}: PaymentAppOptions): RequestListener {
  return createApp({
    log,
    readiness,
    openapi,
    tracing,
    routes: (app) => {
      mountTransactions(app, options);
      mountReplay(app, options);
      mountDeadLetters(app, options);
      mountWebhooks(app, options);
      mountMetrics(app, options);
    },
  });
}
