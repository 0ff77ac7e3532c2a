import { parseEnv } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { configSchema as startSchema } from '../local/src/config.ts';
import { configSchema as provisionSchema } from '../nats/src/config.ts';
import { configSchema as paymentSchema } from '../payment-service/src/config.ts';
import { configSchema as gatewaySchema } from '../third-party-gateway/src/config.ts';
import { interpolations, read } from './compose-file.ts';

const composeVariables = [...new Set(interpolations().map(({ name }) => name))];
const examples = [
  { file: '.env.example', schemas: [startSchema, provisionSchema], others: composeVariables },
  { file: 'third-party-gateway/.env.example', schemas: [gatewaySchema], others: [] },
  { file: 'payment-service/.env.example', schemas: [paymentSchema], others: [] },
];

describe.each(examples)('$file', ({ file, schemas, others }) => {
  const text = read(file);
  const values: Record<string, string | undefined> = parseEnv(text);
  const lines = text.split('\n');
  const settings = schemas.flatMap(({ shape }) => Object.entries<z.ZodType>(shape));

  test('has every variable of the config schema and no other one', () => {
    const known = [...settings.map(([name]) => name), ...others];

    expect(Object.keys(values).sort()).toEqual([...new Set(known)].sort());
  });

  test('has each variable once', () => {
    const assigned = lines.filter((line) => /^\w+=/.test(line)).map((line) => line.split('=')[0]);

    expect(assigned).toEqual([...new Set(assigned)]);
  });

  test.each(settings)('gives the default of %s, or an example where it is needed', (name, setting) => {
    // As parseConfig takes it: an empty value means "not set".
    const given = z.safeParse(setting, values[name] || undefined);
    const unset = z.safeParse(setting, undefined);

    expect(given.success).toBe(true);
    if (unset.success) expect(given.data).toEqual(unset.data);
  });

  test('gives no secret a value', () => {
    const secrets = Object.keys(values).filter((name) => /PASSWORD|SECRET|TOKEN/.test(name));

    expect(secrets.length).toBeGreaterThan(0);
    expect(secrets.filter((name) => values[name] !== '')).toEqual([]);
  });

  test('says above each variable what it is', () => {
    const bare = lines.filter((line, index) => /^\w+=/.test(line) && !/^# \S/.test(lines[index - 1] ?? ''));

    expect(bare).toEqual([]);
  });
});
