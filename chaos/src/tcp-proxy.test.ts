import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../../test/harness.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

let server: Server;
let proxy: TcpProxy;
let client: Socket;
let chunks: string[];
let heard: string;
let gone: string[];

const open = async () => {
  const closed = gone;
  client = connect(proxy.port, '127.0.0.1');
  client.on('data', (chunk) => chunks.push(String(chunk)));
  client.on('error', () => undefined);
  client.on('close', () => closed.push('client'));
  await new Promise((resolve) => client.once('connect', resolve));
};
const echoed = () => chunks.join('');

beforeEach(async () => {
  chunks = [];
  heard = '';
  // Those of the test before may still write down theirs.
  const closed: string[] = [];
  gone = closed;
  server = createServer((socket) => {
    socket.on('data', (chunk) => {
      heard += chunk;
      socket.write(chunk);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => closed.push('server'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  proxy = await startTcpProxy(typeof address === 'object' && address ? address.port : 0);
  await open();
});
afterEach(async () => {
  client.destroy();
  await proxy.close();
  server.close();
});

describe('a link', () => {
  test('passes everything in fair weather, and counts nothing', async () => {
    client.write('hello');

    await eventually(echoed, { until: (text) => text === 'hello' });
    expect(proxy.spoilt()).toBe(0);
  });

  test('holds what is sent into a black hole, and lets it go when that is over', async () => {
    proxy.set('black-hole');
    client.write('hello');
    await eventually(() => proxy.spoilt(), { until: (bytes) => bytes === 5 });
    expect(heard).toBe('');

    proxy.set('fair');
    client.write(' again');

    await eventually(echoed, { until: (text) => text === 'hello again' });
  });

  test('makes everything late by 300 ms each way, in order', async () => {
    proxy.set('latency');
    const startedAt = performance.now();
    for (const word of ['one ', 'two ', 'three']) client.write(word);

    await eventually(echoed, { until: (text) => text === 'one two three' });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(595);
  });

  test('cuts into single bytes and loses none', async () => {
    proxy.set('slices');
    client.write('0123456789');

    await eventually(echoed, { until: (text) => text === '0123456789' });
    expect(proxy.spoilt()).toBeGreaterThanOrEqual(20);
  });

  test.each([
    ['swallow-to-server', ''],
    ['swallow-to-client', 'lost'],
  ] as const)('%s loses that direction only', async (weather, arrived) => {
    proxy.set(weather);
    client.write('lost');
    await eventually(() => proxy.spoilt(), { until: (bytes) => bytes >= 4 });
    await eventually(() => heard, { until: (text) => text === arrived });

    proxy.set('fair');
    client.write('!');

    await eventually(echoed, { until: (text) => text === '!' });
  });

  test('breaks both ends when it is cut, takes nobody, and takes them again when it is restored', async () => {
    await proxy.cut();
    await eventually(() => gone.toSorted().join(), { until: (both) => both === 'client,server' });
    client = connect(proxy.port, '127.0.0.1');
    const refused = await new Promise((resolve) => client.once('error', resolve));
    await proxy.restore();
    await open();
    client.write('back');

    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
    await eventually(echoed, { until: (text) => text === 'back' });
  });

  test('ends one side when the other ends', async () => {
    client.end();

    await eventually(() => gone.toSorted().join(), { until: (both) => both === 'client,server' });
  });
});
