import { randomBytes } from 'node:crypto';
import { constants, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '@paystream/runtime';
import { codeOf } from '../setup/errors.js';
import { ROOT } from './root.ts';

const shipped = join(ROOT, 'third-party-gateway/sources');

/** Takes x-payment from anybody and nothing else: for tests, benches and whatever else brings no sources of its own. */
export const openSourcesFile = join(shipped, 'sources.yaml');

const newSecrets: Readonly<Record<string, () => string>> = {
  stripe: () => `whsec_${randomBytes(24).toString('hex')}`,
  adyen: () => randomBytes(32).toString('hex'),
  'standard-webhooks': () => `whsec_${randomBytes(32).toString('base64')}`,
  acme: () => randomBytes(24).toString('hex'),
};

/**
 * A source for every adapter, made at the first start and kept in the data folder, each with a secret that nobody else has:
 * so that all of them can be tried. Only x-payment takes what is not signed.
 */
export function keepSources(dataDir: string): string {
  const path = join(dataDir, 'sources.yaml');
  try {
    mkdirSync(join(dataDir, 'secrets'), { recursive: true, mode: 0o700 });
    for (const [name, make] of Object.entries(newSecrets)) {
      unlessThere(() =>
        writeFileSync(join(dataDir, 'secrets', name), `${make()}\n`, { mode: 0o600, flag: 'wx' }),
      );
    }
    unlessThere(() => copyFileSync(join(shipped, 'sources.example.yaml'), path, constants.COPYFILE_EXCL));
    return path;
  } catch (error) {
    throw new ConfigError([`The sources ${path} cannot be kept (${codeOf(error)}).`]);
  }
}

function unlessThere(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}
