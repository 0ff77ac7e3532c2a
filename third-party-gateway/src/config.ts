import { fileURLToPath } from 'node:url';
import { integerSetting, loadEnvFile, parseConfig, serviceSettings } from '@paystream/runtime';
import { z } from 'zod';
import { type ConfiguredSource, readSourcesFile } from './sources-file.ts';

export const configSchema = z.object({
  PORT: integerSetting({ min: 0, max: 65_535, fallback: 3_000 }),
  SOURCES_FILE: z
    .string(
      'is needed: the file that names who may send webhooks, such as third-party-gateway/sources/sources.yaml',
    )
    .min(1),
  ...serviceSettings,
});
export type Config = Readonly<z.infer<typeof configSchema>>;

/** The settings of this service, or a ConfigError that names every wrong one. */
export function readConfig(): Config {
  loadEnvFile(fileURLToPath(new URL('..', import.meta.url)));
  return parseConfig(configSchema, process.env);
}

/** The sources as their file names them now, or a ConfigError that names everything that is wrong. */
export function readSources({ SOURCES_FILE }: Pick<Config, 'SOURCES_FILE'>): ConfiguredSource[] {
  return readSourcesFile({ path: SOURCES_FILE, env: process.env, now: new Date() });
}
