import { expect, test } from '@jest/globals';
import { ConfigError, parseConfig } from '@paystream/runtime';
import { configSchema, listenersOf } from './config.ts';
import { ROOT } from './root.ts';

const problems = (env: Record<string, string>): readonly string[] => {
  try {
    parseConfig(configSchema, env);
    return [];
  } catch (error) {
    return error instanceof ConfigError ? error.lines : [String(error)];
  }
};

test('needs no variable', () => {
  expect(parseConfig(configSchema, {})).toEqual({
    GATEWAY_PORT: 3_000,
    PAYMENT_PORT: 4_000,
    NATS_PORT: 4_222,
    MONGO_PORT: 27_017,
    DATA_DIR: `${ROOT}.data`,
  });
});

test('names every wrong value at once', () => {
  const lines = problems({ GATEWAY_PORT: 'web', NATS_PORT: '70000', MONGO_PORT: '0' });

  expect(lines.map((line) => line.split(':')[0])).toEqual(['GATEWAY_PORT', 'NATS_PORT', 'MONGO_PORT']);
});

test('refuses one port for two listeners', () => {
  expect(problems({ GATEWAY_PORT: '4222' })).toEqual([
    'NATS_PORT: is 4222, as GATEWAY_PORT is; each needs a port of its own',
  ]);
});

test('leaves the port of a given server out of account', () => {
  const env = { GATEWAY_PORT: '4222', NATS_URI: 'nats://127.0.0.1:4222', MONGO_URI: 'mongodb://db' };

  expect(problems(env)).toEqual([]);
  expect(listenersOf(parseConfig(configSchema, env)).map(({ port }) => port)).toEqual([4_222, 4_000]);
});
