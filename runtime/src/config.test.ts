import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import {
  ConfigError,
  durationMs,
  durationSetting,
  integerSetting,
  loadEnvFile,
  parseConfig,
  serviceSettings,
  switchSetting,
  writeDuration,
} from './config.ts';

const portSchema = z.object({ PORT: integerSetting({ min: 0, max: 65_535, fallback: 3_000 }) });
const linesOf = (read: () => unknown): readonly string[] => {
  try {
    read();
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  return [];
};

describe('parseConfig', () => {
  test('names every wrong setting at once, one line each, without its value', () => {
    const schema = z.object({ ...portSchema.shape, ...serviceSettings });

    const lines = linesOf(() =>
      parseConfig(schema, {
        PORT: 'secret',
        PREFLIGHT: 'secret',
        STREAM_REPLICAS: '2',
        BROKER_SYNC: 'secret',
      }),
    );

    expect(lines.map((line) => line.split(':')[0]).toSorted()).toEqual([
      'BROKER_SYNC',
      'NATS_URI',
      'PORT',
      'PREFLIGHT',
      'STREAM_REPLICAS',
    ]);
    expect(lines.join('\n')).not.toContain('secret');
  });

  test('takes an empty value for one that is not set', () => {
    expect(parseConfig(portSchema, { PORT: '' })).toEqual({ PORT: 3_000 });
  });

  test('gives settings that nobody can change', () => {
    expect(Object.isFrozen(parseConfig(portSchema, {}))).toBe(true);
  });

  test('has a default for everything that both services set, but for where the broker is', () => {
    expect(parseConfig(z.object(serviceSettings), { NATS_URI: 'nats://broker' })).toEqual({
      HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      NATS_URI: 'nats://broker',
      BROKER_SYNC: 'unknown',
      PROVISION: false,
      OPERATOR_TOKENS: [],
      OTEL_TRACES_SAMPLER: 'parentbased_always_on',
      OTEL_TRACES_SAMPLER_ARG: 1,
      PREFLIGHT: 'strict',
      REPLAY_MODE: 'original',
      DUPLICATE_WINDOW: 600_000,
      STREAM_REPLICAS: 1,
      STREAM_MAX_BYTES: 2_147_483_648,
    });
  });
});

describe('integerSetting', () => {
  test.each([
    ['0', 0],
    ['65535', 65_535],
    ['0080', 80],
  ])('reads %j', (text, value) => {
    expect(parseConfig(portSchema, { PORT: text })).toEqual({ PORT: value });
  });

  test.each(['abc', '-1', '65536', '80.0', '8e1', '0x50', ' ', ' 80', '80 ', 'Infinity', '9'.repeat(400)])(
    'refuses %j',
    (text) => {
      expect(linesOf(() => parseConfig(portSchema, { PORT: text }))).toEqual([
        'PORT: must be a whole number from 0 to 65535',
      ]);
    },
  );
});

describe('switchSetting', () => {
  const schema = z.object({ ON: switchSetting(true), OFF: switchSetting(false) });

  test('is true, false, or its default', () => {
    expect(parseConfig(schema, {})).toEqual({ ON: true, OFF: false });
    expect(parseConfig(schema, { ON: 'false', OFF: 'true' })).toEqual({ ON: false, OFF: true });
  });

  test.each(['1', 'yes', 'TRUE', 'ture'])('refuses %j', (text) => {
    expect(linesOf(() => parseConfig(schema, { ON: text }))).toEqual(['ON: must be true or false']);
  });
});

describe('durationSetting', () => {
  const schema = z.object({ WINDOW: durationSetting('10m') });

  test.each([
    [undefined, 600_000],
    ['1ms', 1],
    ['90s', 90_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
  ])('reads %j', (text, ms) => {
    expect(parseConfig(schema, { WINDOW: text })).toEqual({ WINDOW: ms });
  });

  test.each(['10', '0s', '1.5s', '-1s', '10 m', '1w', 's'])('refuses %j', (text) => {
    expect(linesOf(() => parseConfig(schema, { WINDOW: text }))).toHaveLength(1);
  });
});

describe('writeDuration', () => {
  test.each([
    [1, '1ms'],
    [1_500, '1500ms'],
    [90_000, '90s'],
    [600_000, '10m'],
    [7_200_000, '2h'],
    [604_800_000, '7d'],
  ])('writes %i ms as %j, which reads back', (ms, text) => {
    expect(writeDuration(ms)).toBe(text);
    expect(durationMs.parse(text)).toBe(ms);
  });
});

describe('loadEnvFile', () => {
  const folder = mkdtempSync(join(tmpdir(), 'paystream-config-'));
  const names = ['TEST_CONFIG_A', 'TEST_CONFIG_B'];
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
    for (const name of names) delete process.env[name];
  });

  test('adds what the environment does not say, and does without a file', () => {
    process.env.TEST_CONFIG_A = 'environment';
    writeFileSync(join(folder, '.env'), 'TEST_CONFIG_A=file\nTEST_CONFIG_B=file\n');

    loadEnvFile(folder);
    loadEnvFile(join(folder, 'nowhere'));

    expect(names.map((name) => process.env[name])).toEqual(['environment', 'file']);
  });
});
