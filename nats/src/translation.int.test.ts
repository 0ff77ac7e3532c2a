import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type NatsServer, resolveServers, startNatsServer } from '@paystream/local';
import { pino } from 'pino';
import { eventually, throwAwayFolder } from '../../test/harness.ts';
import { type BrokerConnection, connectBroker } from './connection.ts';
import { requestTranslation, serveTranslations, type Translated } from './translation.ts';

const folder = throwAwayFolder('translation');
const log = pino({ level: 'silent' });
const webhook = {
  id: '0123456789abcdef0123456789abcdef',
  source: 'stripe',
  deliveryId: 'msg_1',
  receivedAt: '2026-01-02T03:04:05.678Z',
  body: '{"a":"\\"é"}',
};
const done: Translated = { kind: 'published', messages: 2, duplicates: 1, unmapped: ['why'] };

let server: NatsServer;
const connections: BrokerConnection[] = [];
const connectAs = async (name: string) => {
  const connection = connectBroker({ uri: server.uri, name, log });
  connections.push(connection);
  await connection.whenUp(AbortSignal.timeout(10_000));
  return connection;
};
const start = (port?: number) =>
  startNatsServer({
    binary: resolveServers().natsServer,
    storeDir: folder.path,
    ...(port === undefined ? {} : { port }),
  });

beforeAll(async () => {
  server = await start();
});
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.close()));
  await server.stop();
  folder.remove();
});

describe('a webhook that is to be translated once more', () => {
  test('is unavailable while no gateway is there', async () => {
    expect(await requestTranslation(await connectAs('payment-service'), webhook)).toEqual({
      kind: 'unavailable',
      detail: 'no gateway is there',
    });
  });

  test('comes to one of the gateways as it was kept, also after the broker was away, and its answer comes back', async () => {
    const asked: unknown[] = [];
    const translate = async (given: unknown) => {
      asked.push(given);
      return done;
    };
    for (const broker of [await connectAs('third-party-gateway'), await connectAs('third-party-gateway')]) {
      serveTranslations({ broker, translate, log });
    }
    const payments = await connectAs('payment-service');
    const answered = () =>
      eventually(() => requestTranslation(payments, webhook), { until: ({ kind }) => kind === 'published' });

    expect(await answered()).toEqual(done);
    expect(asked).toEqual([webhook]);
    await server.stop();
    expect(await requestTranslation(payments, webhook)).toMatchObject({ kind: 'unavailable' });
    server = await start(server.port);

    expect(await answered()).toEqual(done);
    expect(asked).toEqual([webhook, webhook]);
  });

  test('that breaks the translation is told as unreadable, and the next one is translated', async () => {
    const broker = await connectAs('another');
    const only = await connectAs('only');
    await Promise.all(connections.slice(0, -2).map((connection) => connection.close()));
    let broken = true;
    serveTranslations({
      broker,
      log,
      translate: async () => {
        if (broken) throw new TypeError('a secret detail');
        return done;
      },
    });
    const ask = () =>
      eventually(() => requestTranslation(only, webhook), { until: ({ kind }) => kind !== 'unavailable' });

    const first = await ask();
    broken = false;

    expect(first).toMatchObject({ kind: 'unreadable' });
    expect(JSON.stringify(first)).not.toContain('secret');
    expect(await ask()).toEqual(done);
    expect(await requestTranslation(only, { ...webhook, id: 'x' })).toMatchObject({ kind: 'unreadable' });
  });
});
