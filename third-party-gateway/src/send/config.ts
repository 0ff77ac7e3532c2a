import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { integerSetting, loadEnvFile, parseConfig } from '@paystream/runtime';
import { z } from 'zod';
import { type ConfiguredSource, readSourcesFile } from '../sources-file.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** What `npm start` takes as well: without any of them it is that one's gateway and its sources. */
const configSchema = z.object({
  GATEWAY_PORT: integerSetting({ min: 1, max: 65_535, fallback: 3_000 }),
  DATA_DIR: z.string().default('.data'),
  SOURCES_FILE: z.string().optional(),
});

export interface SendConfig {
  url: string;
  sources: ConfiguredSource[];
}

/** Where to send, and the sources with their secrets; or a ConfigError. */
export function readSendConfig(): SendConfig {
  loadEnvFile(root);
  const { GATEWAY_PORT, DATA_DIR, SOURCES_FILE } = parseConfig(configSchema, process.env);
  const path = resolve(root, SOURCES_FILE ?? join(DATA_DIR, 'sources.yaml'));
  return {
    url: `http://127.0.0.1:${GATEWAY_PORT}`,
    sources: readSourcesFile({ path, env: process.env, now: new Date() }),
  };
}
