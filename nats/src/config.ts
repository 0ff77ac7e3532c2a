import { fileURLToPath } from 'node:url';
import { loadEnvFile, parseConfig, serviceSettings } from '@paystream/runtime';
import { z } from 'zod';

const {
  NATS_URI,
  NATS_USER,
  NATS_PASSWORD,
  NATS_CA_FILE,
  NATS_CERT_FILE,
  NATS_KEY_FILE,
  DUPLICATE_WINDOW,
  STREAM_REPLICAS,
  STREAM_MAX_BYTES,
  REPLAY_MODE,
} = serviceSettings;

export const configSchema = z.object({
  NATS_URI: NATS_URI.default('nats://127.0.0.1:4222'),
  NATS_USER,
  NATS_PASSWORD,
  NATS_CA_FILE,
  NATS_CERT_FILE,
  NATS_KEY_FILE,
  DUPLICATE_WINDOW,
  STREAM_REPLICAS,
  STREAM_MAX_BYTES,
  /** As payment-service has it. Only `broker` makes another consumer. */
  REPLAY_MODE,
});
export type Config = Readonly<z.infer<typeof configSchema>>;

/** The settings of `npm run provision`, from the environment and the `.env` of the root. */
export function readConfig(): Config {
  loadEnvFile(fileURLToPath(new URL('../..', import.meta.url)));
  return parseConfig(configSchema, process.env);
}
