import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type NatsServer, resolveServer, startNatsServer } from '@paystream/local';
import { pino } from 'pino';
import { type Authority, type Certificate, createAuthority } from '../../test/certificates.ts';
import { throwAwayFolder } from '../../test/harness.ts';
import { type BrokerSettings, brokerAddressOf } from './broker-address.ts';
import { connectBroker } from './connection.ts';
import { provision } from './provision.ts';
import { createPublisher } from './publisher.ts';
import { runProvision } from './testing/command.ts';
import { eventOf, until, up } from './testing/fixture.ts';

const folder = throwAwayFolder('tls');
const password = 'p-canary-4711';
const users = `authorization { users: [ { user: gateway, password: "${password}" } ] }`;
const running: { close(): Promise<void> }[] = [];
let authority: Authority;
let stranger: Authority;
let server: Certificate;
let client: Certificate;
let expired: Certificate;
beforeAll(async () => {
  [authority, stranger] = await Promise.all([
    createAuthority(folder.path, 'ours'),
    createAuthority(folder.path, 'theirs'),
  ]);
  [server, client, expired] = await Promise.all([
    authority.issue('broker', { names: ['localhost'] }),
    authority.issue('gateway'),
    authority.issue('old', { names: ['localhost'], expired: true }),
  ]);
});
afterEach(async () => {
  for (const one of running.splice(0).toReversed()) await one.close();
});
afterAll(() => folder.remove());

const tlsBlock = ({ certFile, keyFile }: Certificate, more = '') =>
  `tls { cert_file: "${certFile}", key_file: "${keyFile}"\n${more} }`;

async function startBroker(config: string): Promise<NatsServer> {
  const store = throwAwayFolder('tls-broker');
  const broker = await startNatsServer({
    binary: resolveServer('nats-server'),
    storeDir: store.path,
    config,
  });
  running.push({
    close: async () => {
      await broker.stop();
      store.remove();
    },
  });
  return broker;
}

/** A connection as the mains make it, and what it says in its log. */
function join(settings: BrokerSettings) {
  const said: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => void said.push(JSON.parse(line)) });
  const broker = connectBroker({ ...brokerAddressOf(settings), name: 'third-party-gateway', log });
  running.push(broker);
  const away = () => until(() => said.find(({ msg }) => msg === 'broker.away')?.detail);
  return { broker, said, away };
}

const credentials = { NATS_USER: 'gateway', NATS_PASSWORD: password };

describe('a tls:// address', () => {
  test('is spoken to over TLS, by the CA that is named', async () => {
    const { port } = await startBroker(`${tlsBlock(server)}\n${users}`);
    const { broker } = join({
      ...credentials,
      NATS_URI: `tls://localhost:${port}`,
      NATS_CA_FILE: authority.caFile,
    });

    await provision(await up(broker), { mode: 'create' });
    const outcome = await createPublisher({ broker }).publish(eventOf());

    expect(outcome).toMatchObject({ status: 'stored', sequence: 1 });
  });

  test('shows the certificate of the client where the broker asks for one', async () => {
    const { port } = await startBroker(tlsBlock(server, `ca_file: "${authority.caFile}", verify: true`));
    const base = { NATS_URI: `tls://localhost:${port}`, NATS_CA_FILE: authority.caFile };

    const shown = join({ ...base, NATS_CERT_FILE: client.certFile, NATS_KEY_FILE: client.keyFile });
    await up(shown.broker);
    const hidden = join(base);

    expect(await hidden.away()).toContain('set NATS_CERT_FILE and NATS_KEY_FILE');
  });

  test.each<[string, () => Certificate, () => Partial<BrokerSettings>, string]>([
    [
      'another CA than the one that signed',
      () => server,
      () => ({ NATS_CA_FILE: stranger.caFile }),
      'NATS_CA_FILE',
    ],
    ['no CA', () => server, () => ({}), 'NATS_CA_FILE'],
    ['a certificate that is over', () => expired, () => ({ NATS_CA_FILE: authority.caFile }), 'renew'],
  ])('is refused with %s, in words that say what to do', async (_what, certificate, settings, hint) => {
    const { port } = await startBroker(`${tlsBlock(certificate())}\n${users}`);
    const { broker, said, away } = join({
      ...credentials,
      NATS_URI: `tls://localhost:${port}`,
      ...settings(),
    });

    expect(await away()).toContain(hint);
    expect(broker.current()).toBeUndefined();
    expect(JSON.stringify(said)).not.toContain(password);
  });

  test('is refused where the certificate is for another name', async () => {
    const { port } = await startBroker(`${tlsBlock(await authority.issue('b', { names: ['broker.test'] }))}`);
    const { away } = join({ NATS_URI: `tls://localhost:${port}`, NATS_CA_FILE: authority.caFile });

    expect(await away()).toContain('name the broker in NATS_URI as its certificate does');
  });

  test.each([
    ['offers no TLS', {}, /SERVER_OPT_NA|no TLS|tls/i],
    ['says that it does and does not', { tls_required: true }, /./],
  ])('sends no credentials to one that %s', async (_what, info, reason) => {
    let heard = '';
    const plain = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(
        `INFO ${JSON.stringify({ version: '2.15.0', proto: 1, headers: true, max_payload: 1e6, ...info })}\r\n`,
      );
      socket.on('data', (data) => {
        heard += data.toString('latin1');
        // As the plain protocol goes on, for whoever would follow it.
        socket.write('PONG\r\n');
      });
    });
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    running.push({ close: () => new Promise((resolve) => plain.close(() => resolve())) });
    const address = plain.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { away } = join({
      ...credentials,
      NATS_URI: `tls://localhost:${port}`,
      NATS_CA_FILE: authority.caFile,
    });

    expect(await away()).toMatch(reason);
    expect(heard).not.toContain(password);
    expect(heard).not.toContain('CONNECT');
  });

  test('is what one is told to write where the broker asks for TLS', async () => {
    const { port } = await startBroker(`${tlsBlock(server)}\n${users}`);
    const { away } = join({ ...credentials, NATS_URI: `nats://localhost:${port}` });

    expect(await away()).toContain('NATS_CA_FILE');
  });

  test('is understood by npm run provision', async () => {
    const { port } = await startBroker(`${tlsBlock(server)}\n${users}`);
    const env = { ...credentials, NATS_URI: `tls://localhost:${port}` };

    const trusted = await runProvision([], { ...env, NATS_CA_FILE: authority.caFile });
    const refused = await runProvision([], { ...env, NATS_CA_FILE: stranger.caFile });

    expect(trusted).toMatchObject({ code: 0, err: '' });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('NATS_CA_FILE');
  });
});
