import { accessSync, constants } from 'node:fs';
import { config as loadDotenv } from 'dotenv';
import { z } from 'zod';
import { crashAtSetting } from './crash-point.ts';
import { operatorTokensFileSetting, operatorTokensSetting } from './operators.ts';
import { tracingSettings } from './tracing.ts';

/** Wrong settings, one line each; `main.ts` prints the lines and exits 1. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(`wrong settings:\n${lines.join('\n')}`);
    this.lines = lines;
  }
}

/** Reads `.env` in the given folder, where there is one. What the environment already says wins. */
export function loadEnvFile(folder: string): void {
  loadDotenv({ path: `${folder}/.env`, quiet: true });
}

/** Parses the environment once and freezes it, or throws a ConfigError that names every wrong variable. */
export function parseConfig<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  env: Record<string, string | undefined>,
): Readonly<z.infer<z.ZodObject<Shape>>> {
  // An empty value means "not set": `PORT=` in a .env file is a line left open.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`));
  }
  return Object.freeze(parsed.data);
}

/** A whole number in a range, for ports, limits and times, written in digits and nothing else. */
export function integerSetting({ min, max, fallback }: { min: number; max: number; fallback: number }) {
  const inWords = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, inWords)
    .transform(Number)
    .refine((value) => value >= min && value <= max, inWords)
    .default(fallback);
}

/** `true` or `false`, and nothing else: a misspelt switch must not silently mean "off". */
export function switchSetting(fallback: boolean) {
  return z
    .enum(['true', 'false'], 'must be true or false')
    .default(fallback ? 'true' : 'false')
    .transform((value) => value === 'true');
}

const unitMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const durationRule = 'must be a length of time such as 500ms, 30s, 10m, 2h or 7d';
const durationText = z.string(durationRule).regex(/^[1-9]\d{0,8}(ms|s|m|h|d)$/, durationRule);

function toMs(duration: string): number {
  const [, count = '0', unit = 'ms'] = /^(\d+)(\D+)$/.exec(duration) ?? [];
  return Number(count) * (unitMs[unit] ?? 1);
}

/** Milliseconds as they are written in a setting, in the largest unit that tells them exactly: `10m`, `1500ms`. */
export function writeDuration(ms: number): string {
  const [unit, size] = Object.entries(unitMs).findLast(([, unitSize]) => ms % unitSize === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}

/** A length of time such as `500ms`, `10m` or `7d`, in milliseconds. */
export const durationMs = durationText.transform(toMs);

/** The same as a setting with a default. */
export function durationSetting(fallback: string) {
  return durationText.default(fallback).transform(toMs);
}

/** The path of a file that is there. Whoever uses it reads it when it needs it, so that a new one counts without a restart. */
const fileSetting = z
  .string()
  .refine((path) => {
    try {
      accessSync(path, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  }, 'cannot be read')
  .optional();

/** What both services set alike. */
export const serviceSettings = {
  HOST: z.string().min(1).default('127.0.0.1'),
  LOG_LEVEL: z
    .enum(
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      'must be trace, debug, info, warn, error, fatal or silent',
    )
    .default('info'),
  NATS_URI: z
    .string('is needed, for example nats://127.0.0.1:4222')
    .min(1)
    .refine((uri) => !uri.includes('@'), 'must hold no user: use NATS_USER and NATS_PASSWORD'),
  NATS_USER: z.string().optional(),
  NATS_PASSWORD: z.string().optional(),
  NATS_CA_FILE: fileSetting,
  NATS_CERT_FILE: fileSetting,
  NATS_KEY_FILE: fileSetting,
  BROKER_SYNC: z.enum(['always', 'unknown'], 'must be always or unknown').default('unknown'),
  PROVISION: switchSetting(false),
  PREFLIGHT: z.enum(['strict', 'warn'], 'must be strict or warn').default('strict'),
  DUPLICATE_WINDOW: durationSetting('10m'),
  // Whichever service provisions makes the consumer by it.
  REPLAY_MODE: z
    .enum(['original', 'instant', 'broker'], 'must be original, instant or broker')
    .default('original'),
  STREAM_REPLICAS: z
    .enum(['1', '3'], 'must be 1 or 3')
    .default('1')
    .transform((text) => Number(text)),
  STREAM_MAX_BYTES: integerSetting({ min: 1_048_576, max: 1_099_511_627_776, fallback: 2_147_483_648 }),
  ...tracingSettings,
  OPERATOR_TOKENS: operatorTokensSetting,
  OPERATOR_TOKENS_FILE: operatorTokensFileSetting,
  CRASH_AT: crashAtSetting,
};
