import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { paymentEventSchema } from '@paystream/nats';
import { ConfigError, describeError } from '@paystream/runtime';
import { LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import type { Adapter } from './adapters/adapter.ts';
import { adapters } from './adapters/index.ts';
import { createSource, type Source, type SourceSecret } from './source.ts';

export interface SourcesFileOptions {
  path: string;
  /** Where secrets may stand besides files. */
  env: Readonly<Record<string, string | undefined>>;
  now: Date;
}

export type ConfiguredSource = Source & {
  /** What signs a sample as the sender would. */
  sign: (unsigned: { body: string; at: Date; id: string | undefined }) => ReturnType<Adapter['sign']>;
};

/** The sources that the file names, or a ConfigError with a line for everything that is wrong. No line holds a secret. */
export function readSourcesFile({ path, env, now }: SourcesFileOptions): ConfiguredSource[] {
  const lines: string[] = [];
  const fail = (where: string, why: string) => void lines.push(`SOURCES_FILE: ${where}: ${why}`);
  const named = Object.entries(readYaml(path));
  if (named.length === 0) fail(path, 'names no source');
  const sources = named.flatMap(([name, value]) => {
    const entry = parseEntry(name, value, fail);
    if (entry === undefined) return [];
    const secrets = entry.secrets.flatMap((secret, index) => {
      const found = readSecret({ secret, adapter: entry.adapter, folder: dirname(path), env });
      if (found.kind === 'secret') return [found.secret];
      fail(`${name}.secrets.${index}`, found.why);
      return [];
    });
    checkVerification({ name, entry, secrets, now, fail });
    const source = createSource({ ...entry, name, verifies: entry.verify !== 'none', secrets });
    const sign: ConfiguredSource['sign'] = (unsigned) => {
      const keys = secrets.filter(({ until }) => until === undefined || unsigned.at < until);
      return entry.adapter.sign({ ...unsigned, keys }, entry.settings);
    };
    return [{ ...source, sign }];
  });
  if (lines.length > 0) throw new ConfigError(lines);
  return sources;
}

function readYaml(path: string): Record<string, unknown> {
  const lineCounter = new LineCounter();
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError([`SOURCES_FILE: ${path} cannot be read: ${describeError(error)}`]);
  }
  // Without the lines around a mistake: one of them could be a secret that does not belong there.
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map(({ pos: [start], code }) => {
        const { line } = lineCounter.linePos(start);
        return `SOURCES_FILE: ${path}: line ${line} is not YAML: ${code.toLowerCase().replaceAll('_', ' ')}`;
      }),
    );
  }
  // Told here and not by `toJS`: what it throws is for programmers.
  visit(document, {
    Alias: (_key, { source }) => {
      throw new ConfigError([
        `SOURCES_FILE: ${path}: the alias *${source.slice(0, 64)} is not taken; write it out`,
      ]);
    },
  });
  const parsed = z.record(z.string(), z.unknown()).safeParse(document.toJS({ maxAliasCount: 0 }) ?? {});
  if (!parsed.success) throw new ConfigError([`SOURCES_FILE: ${path}: must name sources, one a key`]);
  return parsed.data;
}

const secretSchema = z
  .strictObject({
    /** By this name the log tells which secret was used. */
    id: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ . -')
      .optional(),
    file: z.string().min(1).optional(),
    env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable')
      .optional(),
    until: z.iso
      .datetime({ offset: true, error: 'must be a time such as 2026-01-31T12:00:00Z' })
      .transform((text) => new Date(text))
      .optional(),
  })
  .refine(({ file, env }) => (file === undefined) !== (env === undefined), 'must have either file or env');

const commonShape = {
  secrets: z.array(secretSchema).max(10, 'must be at most 10').default([]),
  verify: z.literal('none', 'can only be none').optional(),
  /** For events that name none. */
  currency: paymentEventSchema.shape.currency,
  answer: z.enum(['json', 'accepted'], 'must be json or accepted').default('json'),
  /** Verified webhooks a second. */
  limit: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(100_000, 'must be at most 100000')
    .optional(),
};
const commonSchema = z.object(commonShape);

interface Entry extends z.infer<typeof commonSchema> {
  adapter: Adapter;
  settings: Record<string, unknown>;
  currency: string | undefined;
}

type Fail = (where: string, why: string) => void;

function parseEntry(name: string, value: unknown, fail: Fail): Entry | undefined {
  if (!paymentEventSchema.shape.source.safeParse(name).success) {
    fail(name.slice(0, 64), 'the name of a source must be 1 to 63 of a-z 0-9 -');
    return undefined;
  }
  const named = z.looseObject({ adapter: z.string() }).safeParse(value);
  const adapter = adapters.find((one) => one.name === named.data?.adapter);
  if (adapter === undefined) {
    fail(`${name}.adapter`, `must be one of ${adapters.map((one) => one.name).join(', ')}`);
    return undefined;
  }
  const { adapter: _adapter, ...given } = named.data ?? {};
  const parsed = z.strictObject({ ...commonShape, ...adapter.settings }).safeParse(given);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) failIssue(name, issue, fail);
    return undefined;
  }
  const { secrets, verify, currency, answer, limit, ...settings } = parsed.data;
  return { ...commonSchema.parse({ verify, currency, answer, limit }), secrets, currency, adapter, settings };
}

function failIssue(name: string, issue: z.core.$ZodIssue, fail: Fail): void {
  const path = [name, ...issue.path].join('.');
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [];
  for (const key of unknown) fail(`${path}.${key.slice(0, 64)}`, 'is not a known setting');
  if (unknown.length === 0) fail(path, issue.message);
}

interface SecretPlace {
  secret: z.infer<typeof secretSchema>;
  adapter: Adapter;
  folder: string;
  env: SourcesFileOptions['env'];
}

type FoundSecret = { kind: 'secret'; secret: SourceSecret } | { kind: 'none'; why: string };

function readSecret({
  secret: { id, file, env: variable, until },
  adapter,
  folder,
  env,
}: SecretPlace): FoundSecret {
  let text: string | undefined;
  try {
    text = file === undefined ? env[variable ?? ''] : readFileSync(resolve(folder, file), 'utf8');
  } catch (error) {
    return { kind: 'none', why: `${file} cannot be read: ${describeError(error)}` };
  }
  const place = file ?? variable ?? '';
  if (text === undefined) return { kind: 'none', why: `the variable ${place} is not set` };
  const key = adapter.readSecret(text.trim());
  if (key === undefined) return { kind: 'none', why: `what ${place} holds ${adapter.secretRule}` };
  return { kind: 'secret', secret: { id: id ?? basename(place), key, until } };
}

interface Verification {
  name: string;
  entry: Entry;
  secrets: readonly SourceSecret[];
  now: Date;
  fail: Fail;
}

/** A source that verifies nothing is one that somebody asked for by name. */
function checkVerification({ name, entry, secrets, now, fail }: Verification): void {
  if (entry.verify === 'none') {
    if (entry.secrets.length > 0) fail(name, 'has secrets and verify: none; one of them must go');
    return;
  }
  if (entry.secrets.length === 0) fail(name, 'has no secret; only verify: none lets anybody send to it');
  const ids = secrets.map(({ id }) => id);
  if (new Set(ids).size < ids.length) fail(`${name}.secrets`, 'must have an id of their own each');
  const allEnded = secrets.every(({ until }) => until !== undefined && until <= now);
  if (secrets.length > 0 && allEnded) fail(`${name}.secrets`, 'have all ended');
}
