import { connectBroker, createPublisher, durabilityOf, watchBroker } from '@paystream/nats';
import { configOrExit, createLog, listen, type Readiness, stopOnSignal } from '@paystream/runtime';
import type { Adapter } from './adapters/adapter.ts';
import { xPayment } from './adapters/x-payment.ts';
import { createGateway } from './app.ts';
import { readConfig } from './config.ts';

const name = 'third-party-gateway';
const sources: ReadonlyMap<string, Adapter> = new Map([['x-payment', xPayment]]);

const config = configOrExit(name, readConfig);
const log = createLog({ name, level: config.LOG_LEVEL });
const broker = connectBroker({
  uri: config.NATS_URI,
  name,
  user: config.NATS_USER,
  password: config.NATS_PASSWORD,
  log,
});
let stopping = false;
const { fail } = stopOnSignal({ log, stop: () => stop() });
const check = watchBroker({
  broker,
  mode: config.PROVISION ? 'create' : 'check',
  streams: {
    duplicateWindowMs: config.DUPLICATE_WINDOW,
    replicas: config.STREAM_REPLICAS,
    maxBytes: config.STREAM_MAX_BYTES,
  },
  preflight: config.PREFLIGHT,
  log,
  onUnsafe: () =>
    fail(new Error('the broker has settings that can lose a payment; PREFLIGHT=warn runs all the same')),
});

const readiness = (): Readiness => {
  const { ok, detail, report } = check.state();
  const broken = broker.state();
  const brokerPart = broken.up ? { ok, detail } : { ok: false, detail: broken.detail };
  return {
    ready: brokerPart.ok && !stopping,
    parts: { broker: brokerPart, ...(stopping ? { service: { ok: false, detail: 'stopping' } } : {}) },
    durability: durabilityOf({ sync: config.BROKER_SYNC, replicas: report?.replicas }),
  };
};

const app = createGateway({
  log,
  readiness,
  sources,
  publisher: createPublisher({ broker }),
  // Until the settings were compared once, a 200 could be worth nothing.
  closedBecause: () =>
    check.state().report === undefined ? 'The service is starting; send it again.' : undefined,
});
const server = await listen(app, { port: config.PORT, host: config.HOST });
log.info({ host: config.HOST, port: server.port, sources: [...sources.keys()] }, 'service.listening');

async function stop(): Promise<void> {
  stopping = true;
  await server.close(6_000);
  check.stop();
  await broker.close();
}
