export type { Exit, Running } from './child.ts';
export { type Mongod, type MongodOptions, startMongod } from './mongod.ts';
export { type NatsServer, type NatsServerOptions, startNatsServer } from './nats-server.ts';
export { freePort } from './ports.ts';
export { resolveServer, resolveServers } from './resolve-servers.ts';
export { describeExit, type Service, type ServiceOptions, startService } from './service.ts';
export { createStack, type Stack, type StackOptions } from './stack.ts';
