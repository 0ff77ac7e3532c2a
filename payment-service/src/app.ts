import type { RequestListener } from 'node:http';
import { createApp, type Log, type Readiness } from '@paystream/runtime';
import { type DeadLetterRoutesOptions, mountDeadLetters } from './dead-letter-routes.ts';
import { openapi } from './openapi.ts';
import { mountReplay, type ReplayRoutesOptions } from './replay-routes.ts';
import { mountTransactions, type TransactionRoutesOptions } from './transaction-routes.ts';
import { mountWebhooks, type WebhookRoutesOptions } from './webhook-routes.ts';

export interface PaymentAppOptions
  extends TransactionRoutesOptions,
    ReplayRoutesOptions,
    DeadLetterRoutesOptions,
    WebhookRoutesOptions {
  log: Log;
  readiness: () => Readiness;
}

/** The payment-service's HTTP side. */
export function createPaymentApp({ log, readiness, ...options }: PaymentAppOptions): RequestListener {
  return createApp({
    log,
    readiness,
    openapi,
    routes: (app) => {
      mountTransactions(app, options);
      mountReplay(app, options);
      mountDeadLetters(app, options);
      mountWebhooks(app, options);
    },
  });
}
