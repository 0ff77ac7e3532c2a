import {
  connectBroker,
  createPublisher,
  durabilityOf,
  serveTranslations,
  streamOptionsOf,
  watchBroker,
} from '@paystream/nats';
import {
  configOrExit,
  createCrashPoint,
  createLog,
  listen,
  type PartState,
  type Readiness,
  stopOnSignal,
} from '@paystream/runtime';
import { createGateway } from './app.ts';
import { readConfig, readSources } from './config.ts';
import { createLiveSources } from './live-sources.ts';
import { createTranslateAgain } from './translate-again.ts';

const name = 'third-party-gateway';

const config = configOrExit(name, readConfig);
const log = createLog({ name, level: config.LOG_LEVEL });
const sources = configOrExit(name, () => createLiveSources({ read: () => readSources(config), log }));
process.on('SIGHUP', sources.reload);
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
const publisher = createPublisher({ broker, duplicateWindowMs: config.DUPLICATE_WINDOW, pass });
const translate = createTranslateAgain({ sources: sources.current, publisher });
serveTranslations({ broker, translate, log });
const app = createGateway({
  log,
  readiness,
  sources: sources.current,
  publisher,
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
  await broker.close();
}
