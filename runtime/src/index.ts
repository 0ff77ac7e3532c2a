export * from './app.ts';
export * from './config.ts';
export * from './http-server.ts';
export * from './lifecycle.ts';
export * from './log.ts';
export * from './openapi.ts';
export * from './pause.ts';
export * from './problems.ts';
