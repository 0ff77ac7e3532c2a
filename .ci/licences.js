// Under which licences the packages stand that run in production, from package-lock.json: `npm run licences` writes
// docs/licences.md, and a test fails when the page is old or a licence is not among those that we take.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What asks for no more than its text beside a copy. Whoever adds one here has read it. */
export const allowed = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT', 'Unlicense'];

const root = new URL('..', import.meta.url);
const page = new URL('docs/licences.md', root);

/**
 * @typedef {{ name: string, version: string, licence: string }} Licenced
 * @typedef {{ version?: string, license?: string, dev?: boolean, link?: boolean }} Locked
 */

/** Every package that `npm ci --omit=dev` would install. @param {Record<string, Locked>} packages @returns {Licenced[]} */
export function licencesOf(packages) {
  const found = Object.entries(packages)
    .filter(([path, { dev, link }]) => path.includes('node_modules/') && dev !== true && link !== true)
    .map(([path, { version = '', license = 'unknown' }]) => ({
      name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version,
      licence: license,
    }));
  const lines = new Map(found.map((one) => [`${one.name} ${one.version}`, one]));
  return [...lines].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, value]) => value);
}

/** @param {Licenced[]} licenced */
export function pageOf(licenced) {
  const rows = licenced.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`);
  return `# Licences

What \`npm ci --omit=dev\` installs, from \`package-lock.json\`. Written by \`npm run licences\`; a test fails when it is old, and
when a licence is not one of ${allowed.join(', ')}.

| package | version | licence |
| --- | --- | --- |
${rows.join('\n')}
`;
}

export const readPackages = () =>
  JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')).packages;
export const readPage = () => readFileSync(page, 'utf8');

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv.includes('--write')) {
  writeFileSync(page, pageOf(licencesOf(readPackages())));
  console.log(`written: ${fileURLToPath(page)}`);
}
