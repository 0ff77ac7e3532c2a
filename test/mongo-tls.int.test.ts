import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { type Authority, type Certificate, createAuthority } from './certificates.ts';
import { type GuardedMongod, paymentsPassword, startGuardedMongod } from './guarded-mongod.ts';
import { eventually, get, post, type System, startSystem, throwAwayFolder, webhook } from './harness.ts';

const folder = throwAwayFolder('mongo-tls');
const payments = `payments:${paymentsPassword}`;
let authority: Authority;
let stranger: Authority;
let server: Certificate;
let mongod: GuardedMongod;
let system: System;
beforeAll(async () => {
  authority = await createAuthority(folder.path, 'ours');
  stranger = await createAuthority(folder.path, 'theirs');
  server = await authority.issue('database', { names: ['localhost'] });
  mongod = await startGuardedMongod({
    host: 'localhost',
    options: `&tls=true&tlsCAFile=${encodeURIComponent(authority.caFile)}`,
    args: [
      ...['--tlsMode', 'requireTLS', '--tlsCertificateKeyFile', server.pemFile],
      ...['--tlsCAFile', authority.caFile, '--tlsAllowConnectionsWithoutCertificates'],
    ],
  });
  system = await startSystem();
});
afterAll(async () => {
  await system.close();
  await mongod.close();
  folder.remove();
});

const uri = () => mongod.uriAs(payments, 'paystream');
const awayLine = ({ lines }: Service) =>
  eventually(() => lines.find((line) => line.includes('database.away')), {
    within: 20_000,
    until: (line) => line !== undefined,
  });

test('the payment-service speaks TLS to the database where MONGO_URI says so, and a payment gets there', async () => {
  const gateway = await system.startGateway();
  const service = await system.startPayments({ MONGO_URI: uri() });
  await Promise.all([gateway.ready(), service.ready()]);
  const sent = webhook();

  await post(gateway, sent);
  const found = await get(service, `/transactions/${sent.txId}?wait=10`);

  expect([found.status, found.body.status]).toEqual([200, 'new']);
  await service.stop();
});

test.each<[string, () => string, string]>([
  ['signed by another CA', () => uri().replace(/tlsCAFile=.*/, `tlsCAFile=${stranger.caFile}`), 'tlsCAFile='],
  ['that nobody vouches for', () => uri().replace(/&tlsCAFile=.*/, ''), 'tlsCAFile='],
  ['for another name', () => uri().replace('@localhost', '@127.0.0.1'), 'as its certificate does'],
])('it refuses a certificate %s, and says what to do', async (_what, address, hint) => {
  const service = await system.startPayments({ MONGO_URI: address() });

  expect(await awayLine(service)).toContain(hint);
  expect(service.lines.join('\n')).not.toContain(paymentsPassword);
  await service.stop();
});

test('it says that TLS is wanted where MONGO_URI does not speak of it', async () => {
  const service = await system.startPayments({ MONGO_URI: uri().replace(/&tls=true.*/, '') });

  expect(await awayLine(service)).toContain('say tls=true in MONGO_URI');
  await service.stop();
});

test('asked for TLS, it says nothing but the handshake to a server that has none', async () => {
  const heard: Buffer[] = [];
  const plain = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      heard.push(data);
      socket.end('no');
    });
  });
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  const address = plain.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const service = await system.startPayments({
    MONGO_URI: `mongodb://payments:canary@localhost:${port}/paystream?replicaSet=rs0&tls=true`,
  });

  expect(await awayLine(service)).toContain('the server is not accepting SSL connections');
  await service.stop();
  await new Promise<void>((resolve) => plain.close(() => resolve()));
  // Records of TLS: 22 is the handshake, 21 the word that it has failed.
  expect(heard.filter(([first]) => first !== 22 && first !== 21)).toEqual([]);
  expect(heard.length).toBeGreaterThan(0);
  expect(Buffer.concat(heard).toString('latin1')).not.toMatch(/payments|canary|hello|isMaster|saslStart/);
});
