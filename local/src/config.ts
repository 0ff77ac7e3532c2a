import { resolve } from 'node:path';
import { integerSetting, loadEnvFile, parseConfig } from '@paystream/runtime';
import { z } from 'zod';
import { ROOT } from './root.ts';

const port = (fallback: number) => integerSetting({ min: 1, max: 65_535, fallback });

export const configSchema = z
  .object({
    GATEWAY_PORT: port(3_000),
    PAYMENT_PORT: port(4_000),
    NATS_PORT: port(4_222),
    MONGO_PORT: port(27_017),
    /** Relative to the root of the repository. */
    DATA_DIR: z
      .string()
      .default('.data')
      .transform((folder) => resolve(ROOT, folder)),
    /** Given: that server is used and none is started. */
    NATS_URI: z.string().optional(),
    MONGO_URI: z.string().optional(),
    /** Either given: both services take it, and no token is made. */
    OPERATOR_TOKENS: z.string().optional(),
    OPERATOR_TOKENS_FILE: z.string().optional(),
    /** Given: the gateway takes webhooks of these, and none are made. */
    SOURCES_FILE: z
      .string()
      .transform((path) => resolve(ROOT, path))
      .optional(),
  })
  .superRefine((config, context) => {
    const used = listenersOf(config);
    for (const [index, listener] of used.entries()) {
      const same = used.slice(0, index).find((other) => other.port === listener.port);
      if (same === undefined) continue;
      context.addIssue({
        code: 'custom',
        path: [listener.variable],
        message: `is ${listener.port}, as ${same.variable} is; each needs a port of its own`,
      });
    }
  });
export type Config = Readonly<z.infer<typeof configSchema>>;

export type Listener = { variable: string; port: number; name: string };

type Listening = Pick<
  Config,
  'GATEWAY_PORT' | 'PAYMENT_PORT' | 'NATS_PORT' | 'MONGO_PORT' | 'NATS_URI' | 'MONGO_URI'
>;

/** Who will listen where; a server that is given does not. */
export function listenersOf(config: Listening): Listener[] {
  const all = [
    { variable: 'GATEWAY_PORT', port: config.GATEWAY_PORT, name: 'third-party-gateway' },
    { variable: 'PAYMENT_PORT', port: config.PAYMENT_PORT, name: 'payment-service' },
  ];
  if (config.NATS_URI === undefined) {
    all.push({ variable: 'NATS_PORT', port: config.NATS_PORT, name: 'nats-server' });
  }
  if (config.MONGO_URI === undefined) {
    all.push({ variable: 'MONGO_PORT', port: config.MONGO_PORT, name: 'mongod' });
  }
  return all;
}

/** The settings of `npm start`, with those of the root `.env`, or a ConfigError that names every wrong one. */
export function readConfig(): Config {
  loadEnvFile(ROOT);
  return parseConfig(configSchema, process.env);
}
