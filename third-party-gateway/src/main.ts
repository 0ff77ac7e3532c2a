import {
  brokerAddressOf,
  connectBroker,
  createPublisher,
  createRefusedWebhooks,
  durabilityOf,
  serveTranslations,
  streamOptionsOf,
  tracePublisher,
  watchBroker,
} from '@paystream/nats';
import {
  configOrExit,
  createCrashPoint,
  createDoor,
  createLog,
  createRegistry,
  isLoopback,
  listen,
  openTracing,
  operatorsOf,
  type PartState,
  type Readiness,
  stopOnSignal,
} from '@paystream/runtime';
import { createGateway } from './app.ts';
import { readConfig, readSources } from './config.ts';
import { createLiveSources } from './live-sources.ts';
import { createGatewayMetrics } from './metrics.ts';
import { createRefusedKeeper } from './refused-keeper.ts';
import { createRetryRefused } from './retry-refused.ts';
import { createTranslateAgain } from './translate-again.ts';

const name = 'third-party-gateway';

const config = configOrExit(name, readConfig);
const log = createLog({ name, level: config.LOG_LEVEL });
const tracing = await openTracing({ settings: config, service: name, log });
const sources = configOrExit(name, () => createLiveSources({ read: () => readSources(config), log }));
process.on('SIGHUP', sources.reload);
const broker = connectBroker({ ...configOrExit(name, () => brokerAddressOf(config)), name, log });
let stopping = false;
const { fail } = stopOnSignal({ log, stop: () => stop() });
const check = watchBroker({
  broker,
  mode: config.PROVISION ? 'create' : 'check',
  streams: streamOptionsOf(config),
  preflight: config.PREFLIGHT,
  log,
  onUnsafe: fail,
});

const readiness = (): Readiness => {
  const { ok, report } = check.state();
  const part = brokerPart({ up: broker.state().up, ok, looked: report !== undefined });
  return {
    ready: part.ok && !stopping,
    parts: { broker: part, ...(stopping ? { service: { ok: false, detail: 'stopping' } } : {}) },
    durability: durabilityOf({ sync: config.BROKER_SYNC, replicas: report?.replicas }),
  };
};

// Third parties reach this address: which server it is, where it stands and how to mend it is for the log.
function brokerPart({ up, ok, looked }: { up: boolean; ok: boolean; looked: boolean }): PartState {
  if (!up) return { ok: false, detail: 'the broker cannot be reached; the log says why' };
  if (!looked) return { ok: false, detail: 'the settings of the broker were not compared yet' };
  if (!ok)
    return { ok: false, detail: 'the settings of the broker are not as they must be; the log names them' };
  return { ok: true, detail: 'connected, and set as it must be' };
}

const pass = createCrashPoint({ at: config.CRASH_AT, log });
const registry = createRegistry(readiness);
const metrics = createGatewayMetrics({ registry, sources: [...sources.current().values()] });
const publisher = tracePublisher(
  metrics.watchPublisher(
    createPublisher({ broker, duplicateWindowMs: config.DUPLICATE_WINDOW, pass, onSend: metrics.sent }),
  ),
  tracing,
);
const translate = createTranslateAgain({ sources: sources.current, publisher });
serveTranslations({ broker, translate, log });
const refused = createRefusedWebhooks({ broker });
const keeper = createRefusedKeeper({ refused, log, onEach: metrics.keptRefused });
const app = createGateway({
  log,
  tracing,
  readiness,
  sources: sources.current,
  publisher,
  keepRefused: keeper.keep,
  counts: keeper.counts,
  refused,
  retry: createRetryRefused({ sources: sources.current, refused, publisher }),
  // Third parties reach this service, through a proxy on this machine too: nobody looks without a token.
  door: createDoor({ tokens: operatorsOf(config), open: false }),
  observe: metrics,
  metrics: {
    registry,
    door: createDoor({ tokens: operatorsOf(config), open: isLoopback(config.HOST) }),
  },
  // Until the settings were compared once, a 200 could be worth nothing.
  closedBecause: () =>
    broker.state().up && check.state().report === undefined
      ? 'The service is starting; send it again.'
      : undefined,
});
const listening = listen(app, { port: config.PORT, host: config.HOST, log });
listening.then(({ port }) => {
  log.info({ host: config.HOST, port, sources: [...sources.current().keys()] }, 'service.listening');
}, fail);

async function stop(): Promise<void> {
  stopping = true;
  const server = await listening.catch(() => undefined);
  // Longer than the broker's word may take, and short enough for what comes after it.
  await server?.close(6_000);
  check.stop();
  await Promise.all([broker.close(), tracing?.close()]);
}
