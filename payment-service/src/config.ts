import { fileURLToPath } from 'node:url';
import { integerSetting, loadEnvFile, parseConfig, serviceSettings } from '@paystream/runtime';
import { z } from 'zod';

export const configSchema = z.object({
  PORT: integerSetting({ min: 0, max: 65_535, fallback: 4_000 }),
  MONGO_URI: z
    .string('is needed, for example mongodb://127.0.0.1:27017/paystream?replicaSet=rs0')
    .regex(/^mongodb(\+srv)?:\/\//, 'must begin with mongodb:// or mongodb+srv://'),
  ...serviceSettings,
});
export type Config = Readonly<z.infer<typeof configSchema>>;

/** The settings of this service, or a ConfigError that names every wrong one. */
export function readConfig(): Config {
  loadEnvFile(fileURLToPath(new URL('..', import.meta.url)));
  return parseConfig(configSchema, process.env);
}
