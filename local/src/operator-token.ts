import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, operatorEntry } from '@paystream/runtime';
import { codeOf } from '../setup/errors.js';

export type OperatorToken = {
  /** Holds the token; only its owner can read it. */
  path: string;
  /** For OPERATOR_TOKENS: the service knows the hash alone. */
  entry: string;
};

/** The token of whoever runs this machine: made at the first start, kept in the data folder over all later ones. */
export function keepOperatorToken(dataDir: string): OperatorToken {
  const path = join(dataDir, 'operator-token');
  try {
    mkdirSync(dataDir, { recursive: true });
    const token = readOrMake(path);
    // Somebody may have copied the folder.
    chmodSync(path, 0o600);
    return { path, entry: operatorEntry({ name: 'operator', role: 'operator', token }) };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([`The operator token ${path} cannot be kept (${codeOf(error)}).`]);
  }
}

function readOrMake(path: string): string {
  try {
    const made = randomBytes(24).toString('base64url');
    writeFileSync(path, `${made}\n`, { mode: 0o600, flag: 'wx' });
    return made;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  const kept = readFileSync(path, 'utf8').trim();
  if (!/^[\x21-\x7e]{1,256}$/.test(kept)) {
    throw new ConfigError([`${path} holds no token. Remove it, and the next start makes another one.`]);
  }
  return kept;
}
