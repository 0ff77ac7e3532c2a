import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { StorageType } from 'nats';
import { pino } from 'pino';
import { watchBroker } from './broker-check.ts';
import { provision } from './provision.ts';
import { streamDefaults } from './streams.ts';
import { startBroker, type TestBroker, until, up } from './testing/fixture.ts';

let broker: TestBroker;
let reasons: string[];
let check: ReturnType<typeof watchBroker>;

const watch = async (preflight: 'strict' | 'warn') => {
  const connection = broker.join('payment-service');
  await up(connection);
  check = watchBroker({
    ...{ broker: connection, mode: 'check', streams: streamDefaults, preflight },
    log: pino({ level: 'silent' }),
    onUnsafe: ({ message }) => void reasons.push(message),
  });
  await until(() => check.state().report !== undefined);
};
const weaken = () => broker.manager.streams.update('payment', { max_age: 1_000_000_000 * 3_600 });

beforeEach(async () => {
  broker = await startBroker();
  reasons = [];
});
afterEach(async () => {
  check.stop();
  await broker.stop();
});

describe('a broker that can lose a payment', () => {
  test('ends the service when its stream is made that way only after the start', async () => {
    await watch('strict');
    expect([reasons, check.state().ok]).toEqual([[], false]);

    await broker.manager.streams.add({
      name: 'payment',
      subjects: ['payments.*'],
      storage: StorageType.Memory,
    });
    await check.look();
    expect(reasons).toEqual([expect.stringContaining('can lose a payment')]);
  });

  test('is told in readiness, and ends nothing, when it was as it must be before', async () => {
    await provision(broker.admin, { mode: 'create' });
    await watch('strict');
    expect([reasons, check.state().ok]).toEqual([[], true]);

    await weaken();
    await check.look();

    expect([reasons, check.state().ok]).toEqual([[], false]);
  });

  test('ends nothing where that is wanted', async () => {
    await provision(broker.admin, { mode: 'create' });
    await weaken();

    await watch('warn');

    expect([reasons, check.state().ok]).toEqual([[], true]);
  });
});
