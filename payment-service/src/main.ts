import { randomUUID } from 'node:crypto';
import {
  brokerAddressOf,
  connectBroker,
  createDeadLetters,
  createSetAside,
  createSubscription,
  durabilityOf,
  readBacklog,
  readFigures,
  readPaymentPosition,
  requestTranslation,
  streamOptionsOf,
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
  pause,
  type Readiness,
  stopOnSignal,
} from '@paystream/runtime';
import { createPaymentApp } from './app.ts';
import { createApply } from './apply.ts';
import { createBacklog } from './backlog.ts';
import { readConfig } from './config.ts';
import { createConsumer } from './consumer.ts';
import { createDecide } from './decide.ts';
import { createLedger } from './ledger.ts';
import { createApplyMetrics } from './metrics.ts';
import { addQueueMetrics } from './queue-metrics.ts';
import { createRedriver } from './redrive.ts';
import { createReplay } from './replay.ts';
import { createMongoStore } from './store-mongo.ts';
import { createMongoLink } from './store-mongo-connection.ts';
import { createMongoRedrives } from './store-mongo-redrives.ts';
import { createMongoReplayStore } from './store-mongo-replay.ts';
import { createMongoSuspects } from './store-mongo-suspects.ts';
import { createMongoWebhookStore } from './store-mongo-webhooks.ts';
import { traceDecide } from './traced-decide.ts';

const name = 'payment-service';
// Half of the time that a stop may take: the other half is for giving back what could not be finished.
const finishWithinMs = 5_000;
// A replayed message that failed comes again behind those that are held: few enough not to keep it waiting.
const replayHeldMax = 32;

const config = configOrExit(name, readConfig);
const brokerPaces = config.REPLAY_MODE === 'broker';
const log = createLog({ name, level: config.LOG_LEVEL });
const tracing = await openTracing({ settings: config, service: name, log });
const pass = createCrashPoint({ at: config.CRASH_AT, log });
const stopping = new AbortController();
const { fail } = stopOnSignal({ log, stop: () => stop() });

const link = configOrExit(name, () => createMongoLink({ uri: config.MONGO_URI, log }));
const store = createMongoStore({ uri: config.MONGO_URI, log, link });
const webhooks = createMongoWebhookStore({ link });
const broker = connectBroker({ ...configOrExit(name, () => brokerAddressOf(config)), name, log });
const check = watchBroker({
  broker,
  mode: config.PROVISION ? 'create' : 'check',
  streams: streamOptionsOf(config),
  preflight: config.PREFLIGHT,
  log,
  onUnsafe: fail,
});
const now = () => new Date();
const clock = () => performance.now();
const ledger = createLedger();
const registry = createRegistry(() => readiness());
const metrics = createApplyMetrics({ registry, ledger, now });
const decide = traceDecide(createDecide({ store: metrics.watchStore(store), webhooks, now, pass }), tracing);
const suspects = createMongoSuspects({ link });
const applying = createApply({ decide, suspects, log, now, onSettled: metrics.settled });
const apply = ledger.watchApply(metrics.watchApply(applying.apply));
const subscription = ledger.watch(createSubscription({ broker, log, pass }), 'payment');
const aside = ledger.watch(
  createSubscription({ broker, log, from: 'backlog', heldMax: replayHeldMax, pass }),
  'backlog',
);
const backlog = createBacklog({
  subscription: aside,
  apply,
  store,
  log,
  onDatabaseAway: link.onAway,
  clock,
});
const replay = createReplay({
  broker,
  live: subscription,
  backlog,
  setAside: ledger.watchSetAside(createSetAside({ broker })),
  read: { payment: () => readPaymentPosition(broker), backlog: () => readBacklog(broker) },
  store: createMongoReplayStore({ link, log }),
  databaseUp: () => link.state().ok,
  log,
  defaults: {
    // Where the broker paces, nothing is set aside here.
    mode: config.REPLAY_MODE === 'original' ? 'original' : 'instant',
    speed: config.REPLAY_SPEED,
    finishWithinMs: config.REPLAY_FINISH_WITHIN ?? null,
    paused: 'none',
  },
  brokerPaces,
  maxGapMs: config.REPLAY_MAX_GAP,
  liveWithinMs: config.REPLAY_LIVE_WITHIN,
  owner: randomUUID(),
  now,
  clock,
});
const consumer = createConsumer({
  subscription,
  apply,
  store,
  log,
  sift: ledger.watchSift(replay.sift),
  onDatabaseAway: link.onAway,
  onReturn: () => {
    replay.begin();
    applying.settleUp().catch(fail);
  },
});

const takesDeadLetters = (): PartState => {
  const ok = [subscription, aside].every((queue) => queue.state().deadLettersTaken);
  return {
    ok,
    detail: ok ? 'taken' : 'the stream of dead letters takes no message; look at its size limit',
  };
};

const readiness = (): Readiness => {
  const { ok, detail, report } = check.state();
  const broken = broker.state();
  const isPaused = replay.state().setting.paused === 'all';
  const parts = {
    // Which server it is stands in the log.
    broker: broken.up
      ? { ok, detail: ok ? 'connected, and set as it must be' : detail }
      : { ok: false, detail: broken.detail },
    database: store.state(),
    deadLetters: takesDeadLetters(),
    // Whoever has paused it must still reach it.
    consumer: isPaused ? { ok: true, detail: 'paused by an operator' } : consumer.state(),
    ...(stopping.signal.aborted ? { service: { ok: false, detail: 'stopping' } } : {}),
  };
  return {
    ready: Object.values(parts).every((part) => part.ok),
    parts,
    durability: {
      ...durabilityOf({ sync: config.BROKER_SYNC, replicas: report?.replicas }),
      database:
        'every write is journaled by a majority before its message is acknowledged (w: majority, j: true)',
    },
  };
};

addQueueMetrics({
  registry,
  log,
  readFigures: () => readFigures(broker),
  queues: { payment: subscription, backlog: aside },
  replay,
  brokerPaces,
});
const letters = createDeadLetters({ broker });
const redrives = createMongoRedrives({ link });
const door = createDoor({ tokens: operatorsOf(config), open: isLoopback(config.HOST) });
const app = createPaymentApp({
  log,
  tracing,
  readiness,
  registry,
  store,
  webhooks,
  translate: (webhook) => requestTranslation(broker, webhook),
  stopping: stopping.signal,
  door,
  replay,
  brokerPaces,
  letters,
  redriver: createRedriver({ letters, decide, redrives, log, now }),
  redrives,
  now,
});
const listening = listen(app, { port: config.PORT, host: config.HOST, log });
listening.then(({ port }) => log.info({ host: config.HOST, port }, 'service.listening')).catch(fail);

// No message is taken before the indexes stand that make its effect exactly once.
async function consume(): Promise<void> {
  await store.prepare(stopping.signal);
  await check.whenLookedAt(stopping.signal);
  if (stopping.signal.aborted) return;
  log.info('service.consuming');
  replay.begin();
  await Promise.all([subscription.run(), consumer.run(), backlog.run(), replay.run()]);
}
consume().catch(fail);

async function stop(): Promise<void> {
  stopping.abort();
  const inHand = Promise.all([consumer.stop(), replay.stop()]);
  const closed = listening.then((server) => server.close(finishWithinMs)).catch(() => undefined);
  await Promise.race([Promise.all([inHand, closed]), pause(finishWithinMs)]);
  // Whatever still waits for a database that stands still fails now, and its messages are given back.
  await store.close();
  await inHand;
  check.stop();
  await Promise.all([broker.close(), tracing?.close()]);
}
