import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Adapter, Signed } from '../adapters/adapter.ts';
import { adapters } from '../adapters/index.ts';
import { fillSample, type SampleValues } from '../sample.ts';
import { createSource, type Source, type SourceSecret } from '../source.ts';

const folder = (adapter: string) =>
  fileURLToPath(new URL(`../adapters/fixtures/${adapter}`, import.meta.url));
const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

/** What one sample sends and what must come of it. */
export interface Fixture {
  type: string;
  body: string;
  /** The fields of each event that the sender decides, but for the transaction. */
  events: Record<string, unknown>[];
  unmapped: number;
}

/** How the suite is to treat an adapter, from `conformance.json` in its folder of fixtures. */
const conformanceSchema = z.strictObject({
  secrets: z.tuple([z.string(), z.string()]),
  settings: z.record(z.string(), z.unknown()),
  /** Without any of these a webhook is not signed. Empty: the signature stands in the body. */
  headers: z.array(z.string()),
  /** Whether a webhook has room for more than one. */
  severalSignatures: z.boolean(),
});

export const receivedAt = new Date('2026-03-04T05:06:07.890Z');
export const values: SampleValues = {
  txId: '2f1c7a1e-6a51-4c5e-9d4e-0c1b8f6d2a90',
  amount: 123_456,
  currency: 'EUR',
  note: 'a sample',
  reference: 're_1',
  eventId: 'evt_1',
  at: receivedAt,
};

export interface AdapterCase {
  adapter: Adapter;
  /** As they stand in SOURCES_FILE. */
  settings: Record<string, unknown>;
  headers: string[];
  severalSignatures: boolean;
  fixtures: Fixture[];
  /** Both secrets of the case; neither ends. */
  secrets: [SourceSecret, SourceSecret];
  source(options?: { secrets?: readonly SourceSecret[]; verifies?: boolean; limit?: number }): Source;
  sign(body: string, options?: { secrets?: readonly SourceSecret[]; at?: Date; id?: string }): Signed;
}

/** Every adapter with its fixtures, filled with `values` unless told otherwise. */
export function adapterCases(filled: Partial<SampleValues> = {}): AdapterCase[] {
  return adapters.map((adapter) => caseOf(adapter, { ...values, ...filled }));
}

function caseOf(adapter: Adapter, filled: SampleValues): AdapterCase {
  const at = folder(adapter.name);
  const conformance = conformanceSchema.parse(readJson(`${at}/conformance.json`));
  const { headers, severalSignatures, secrets, settings } = conformance;
  const parsed = z.strictObject(adapter.settings).parse(settings);
  const secretOf = (text: string, index: number): SourceSecret => {
    const key = adapter.readSecret(text);
    if (key === undefined) throw new Error(`${adapter.name} cannot read the secret ${index + 1}`);
    return { id: `key-${index + 1}`, key };
  };
  const keys: [SourceSecret, SourceSecret] = [secretOf(secrets[0], 0), secretOf(secrets[1], 1)];
  return {
    adapter,
    settings,
    headers,
    severalSignatures,
    fixtures: readdirSync(at)
      .filter((file) => file !== 'conformance.json')
      .map((file) => {
        const { sends, makes, unmapped = 0 } = readJson(`${at}/${file}`);
        return {
          type: file.replace(/\.json$/, ''),
          body: JSON.stringify(fillSample(sends, filled)),
          events: makes.map((event: unknown) => fillSample(event, filled)),
          unmapped,
        };
      }),
    secrets: keys,
    source: ({ secrets: given = keys, verifies = true, limit } = {}) =>
      createSource({
        name: adapter.name,
        adapter,
        settings: parsed,
        verifies,
        secrets: given,
        currency: undefined,
        answer: 'json',
        limit,
      }),
    sign: (body, { secrets: given = keys.slice(0, 1), at: signedAt = filled.at, id = filled.eventId } = {}) =>
      adapter.sign({ body, keys: given, at: signedAt, id }, parsed),
  };
}
