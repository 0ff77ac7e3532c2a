import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// They lie in the source, also for what was built from it.
const folderOf = (adapter: string) =>
  fileURLToPath(new URL(`../../src/adapters/fixtures/${adapter}`, import.meta.url));
const notASample = 'conformance.json';

/** What a sender with this adapter can say, by name: its fixtures. */
export function sampleTypes(adapter: string): string[] {
  return readdirSync(folderOf(adapter))
    .filter((file) => file !== notASample)
    .map((file) => file.replace(/\.json$/, ''))
    .sort();
}

/** The template of one of them, or undefined. */
export function readSample(adapter: string, type: string): unknown {
  if (!sampleTypes(adapter).includes(type)) return undefined;
  return JSON.parse(readFileSync(`${folderOf(adapter)}/${type}.json`, 'utf8')).sends;
}
