import { fileURLToPath } from 'node:url';
import {
  durationSetting,
  integerSetting,
  loadEnvFile,
  parseConfig,
  serviceSettings,
} from '@paystream/runtime';
import { z } from 'zod';
import { finishWithinSchema, speedSchema } from './replay-schemas.ts';

export const configSchema = z.object({
  PORT: integerSetting({ min: 0, max: 65_535, fallback: 4_000 }),
  MONGO_URI: z
    .string('is needed, for example mongodb://127.0.0.1:27017/paystream?replicaSet=rs0')
    .regex(/^mongodb(\+srv)?:\/\//, { error: 'must begin with mongodb:// or mongodb+srv://', abort: true })
    .regex(
      /^[^:]+:\/\/[^/]+\/[^/?]+/,
      'must name the database in its path, as in mongodb://127.0.0.1:27017/paystream',
    ),
  ...serviceSettings,
  REPLAY_SPEED: z.coerce.number('must be a number').pipe(speedSchema).default(1),
  REPLAY_MAX_GAP: durationSetting('1s'),
  REPLAY_LIVE_WITHIN: durationSetting('2s'),
  REPLAY_FINISH_WITHIN: finishWithinSchema.optional(),
});
export type Config = Readonly<z.infer<typeof configSchema>>;

/** The settings of this service, or a ConfigError that names every wrong one. */
export function readConfig(): Config {
  loadEnvFile(fileURLToPath(new URL('..', import.meta.url)));
  return parseConfig(configSchema, process.env);
}
