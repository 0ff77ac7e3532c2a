import { type NatsServer, resolveServers, startNatsServer } from '@paystream/local';
import {
  type BrokerConnection,
  connectBroker,
  createPublisher,
  createRefusedWebhooks,
  type Publisher,
  provision,
  type RefusedWebhooks,
  subjectOf,
} from '@paystream/nats';
import {
  createDoor,
  createRegistry,
  type Door,
  type HttpServer,
  type ListenOptions,
  listen,
  type OperatorToken,
  operatorEntry,
  operatorTokensSetting,
} from '@paystream/runtime';
import { pino } from 'pino';
import { eventually, throwAwayFolder } from '../../../test/harness.ts';
import { createGateway } from '../app.ts';
import { createGatewayMetrics } from '../metrics.ts';
import { createRefusedKeeper } from '../refused-keeper.ts';
import { createRetryRefused } from '../retry-refused.ts';
import type { Source } from '../source.ts';
import { adapterCases } from './fixtures.ts';

/** A message as it lies in the stream. */
export interface StoredMessage {
  subject: string;
  sequence: number;
  // biome-ignore lint/suspicious/noExplicitAny: the payload is what the test asserts
  event: any;
  header(name: string): string | undefined;
}

export interface TestGateway {
  url: string;
  port: number;
  /** The broker as it runs now. */
  broker(): NatsServer;
  /** Starts it again after a stop, with its data and its port. */
  startBroker(): Promise<void>;
  connection: BrokerConnection;
  /** What the gateway refused, read past it. */
  refused: RefusedWebhooks;
  /** The lines that the gateway has logged for a request, parsed; waits for the first. */
  linesOf(requestId: string): Promise<Record<string, unknown>[]>;
  /** How many messages the stream holds. */
  stored(): Promise<number>;
  message(sequence: number): Promise<StoredMessage>;
  close(): Promise<void>;
}

export interface TestGatewayOptions {
  /** Stands before the real one. */
  publisher?: (real: Publisher) => Publisher;
  closedBecause?: () => string | undefined;
  /** In the place of x-payment without verification. */
  sources?: () => readonly Source[];
  /** Who may look and who may change; in the place of one viewer and one operator. */
  tokens?: OperatorToken[];
  /** In the place of the promised times, so that a test need not wait for them. */
  timeouts?: Pick<ListenOptions, 'headersTimeoutMs' | 'requestTimeoutMs'>;
  /** In the place of one that is open to whoever looks. */
  door?: Door;
}

/** Tokens of one person for each role: `Bearer <role>-token`. */
const oneOfEach: OperatorToken[] = (['viewer', 'operator'] as const).flatMap((role) =>
  operatorTokensSetting.parse(operatorEntry({ name: `the-${role}`, role, token: `${role}-token` })),
);
export const bearer = (role: string) => ({ authorization: `Bearer ${role}-token` });

/** What a gateway that keeps nothing of what it refuses is made with. */
export const keepsNothing = {
  keepRefused: () => undefined,
  counts: () => ({ kept: 0, notKept: 0 }),
  refused: { find: async () => ({ webhooks: [], next: undefined }), get: async () => undefined },
  retry: async () => ({ kind: 'unknown' as const }),
  door: createDoor({ tokens: oneOfEach, open: false }),
};

/** The gateway in this process, on a broker of its own that holds the streams. */
export async function startTestGateway({
  publisher,
  closedBecause = () => undefined,
  sources = openXPayment,
  tokens = oneOfEach,
  timeouts,
  door = createDoor({ tokens: [], open: true }),
}: TestGatewayOptions = {}): Promise<TestGateway> {
  const folder = throwAwayFolder('gateway');
  const binary = resolveServers().natsServer;
  let broker = await startNatsServer({ binary, storeDir: folder.path });
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) });
  const connection = connectBroker({ uri: broker.uri, name: 'gateway', log });
  await provision(await connection.whenUp(AbortSignal.timeout(10_000)), { mode: 'create' });

  const readiness = () => ({
    ready: connection.state().up,
    parts: { broker: { ok: connection.state().up, detail: '' } },
  });
  const registry = createRegistry(readiness);
  const metrics = createGatewayMetrics({ registry, sources: sources() });
  const real = metrics.watchPublisher(createPublisher({ broker: connection, onSend: metrics.sent }));
  const publishing = publisher === undefined ? real : publisher(real);
  const current = () => new Map(sources().map((source) => [source.name, source]));
  const refused = createRefusedWebhooks({ broker: connection });
  const keeper = createRefusedKeeper({ refused, log, onEach: metrics.keptRefused });
  const app = createGateway({
    log,
    readiness,
    sources: current,
    publisher: publishing,
    keepRefused: keeper.keep,
    counts: keeper.counts,
    refused,
    retry: createRetryRefused({ sources: current, refused, publisher: publishing }),
    door: createDoor({ tokens, open: false }),
    observe: metrics,
    metrics: { registry, door },
    closedBecause,
  });
  const server: HttpServer = await listen(app, { port: 0, host: '127.0.0.1', ...timeouts });

  return {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port,
    broker: () => broker,
    startBroker: async () => {
      broker = await startNatsServer({ binary, storeDir: folder.path, port: broker.port });
    },
    connection,
    refused,
    linesOf: (requestId) =>
      eventually(() => lines.filter((line) => line.requestId === requestId), {
        until: (seen) => seen.length > 0,
      }),
    stored: async () => {
      const { manager, stream } = await paymentStream(connection);
      return (await manager.streams.info(stream)).state.messages;
    },
    message: async (sequence) => {
      const { manager, stream } = await paymentStream(connection);
      const found = await manager.streams.getMessage(stream, { seq: sequence });
      return {
        subject: found.subject,
        sequence: found.seq,
        event: found.json(),
        header: (name) => found.header.get(name) || undefined,
      };
    },
    close: async () => {
      await server.close(1_000);
      await connection.close();
      await broker.stop();
      folder.remove();
    },
  };
}

async function paymentStream(connection: BrokerConnection) {
  const client = await connection.whenUp(AbortSignal.timeout(10_000));
  const manager = await client.jetstreamManager();
  return { manager, stream: await manager.streams.find(subjectOf('NEW')) };
}

/** x-payment without verification. */
export function openXPayment(): Source[] {
  return adapterCases()
    .filter(({ adapter }) => adapter.name === 'x-payment')
    .map((one) => one.source({ verifies: false }));
}
