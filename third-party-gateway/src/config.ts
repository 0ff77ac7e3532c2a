import { fileURLToPath } from 'node:url';
import { integerSetting, loadEnvFile, parseConfig, serviceSettings } from '@paystream/runtime';
import { z } from 'zod';

export const configSchema = z.object({
  PORT: integerSetting({ min: 0, max: 65_535, fallback: 3_000 }),
  ...serviceSettings,
});
export type Config = Readonly<z.infer<typeof configSchema>>;

/** The settings of this service, or a ConfigError that names every wrong one. */
export function readConfig(): Config {
  loadEnvFile(fileURLToPath(new URL('..', import.meta.url)));
  return parseConfig(configSchema, process.env);
}
