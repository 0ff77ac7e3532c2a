import { createApp, type Log, onlyMethods, type Readiness } from '@paystream/runtime';
import type { Express } from 'express';
import { createIntake, type IntakeOptions } from './intake.ts';
import { openapi } from './openapi.ts';

export interface GatewayOptions extends IntakeOptions {
  log: Log;
  readiness: () => Readiness;
}

/** The gateway's HTTP side. */
export function createGateway({ log, readiness, ...intake }: GatewayOptions): Express {
  return createApp({
    log,
    readiness,
    openapi,
    routes: (app) => {
      app.post('/webhooks/:source', createIntake(intake));
      app.all('/webhooks/:source', onlyMethods('POST'));
    },
  });
}
