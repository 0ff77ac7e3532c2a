import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { Key } from './adapters/adapter.ts';

/** How far a signature's time may be from ours, both ways: what Stripe and Standard Webhooks say. */
export const toleranceS = 300;
/** While secrets are changed a sender signs with two or three; who sends more wants us to calculate. */
export const signaturesMax = 10;

// Shorter ones can be found by trying.
const secretBytesMin = 16;

/** Seconds since 1970 as they are written, in digits and nothing else, or undefined. */
export function readTimestamp(text: string): number | undefined {
  return /^(0|[1-9][0-9]{0,11})$/.test(text) ? Number(text) : undefined;
}

/** In whole seconds, as the senders' own libraries count. */
export function isFresh(timestampS: number, receivedAt: Date): boolean {
  return Math.abs(Math.floor(receivedAt.getTime() / 1_000) - timestampS) <= toleranceS;
}

/** The bytes, or undefined when the text is not exactly what encoding them would give. */
export function decode(text: string, encoding: 'hex' | 'base64'): Buffer | undefined {
  const bytes = Buffer.from(text, encoding);
  return bytes.length > 0 && bytes.toString(encoding) === text ? bytes : undefined;
}

export function hmac(
  algorithm: 'sha256' | 'sha512',
  key: KeyObject,
  parts: readonly (string | Uint8Array)[],
) {
  const mac = createHmac(algorithm, key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

export function equals(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

/** The id of a key that made one of the signatures. Looks at every pair, so that the time does not tell which. */
export function findSigner(
  keys: readonly Key[],
  signatures: readonly Uint8Array[],
  isSignature: (signature: Uint8Array, key: KeyObject) => boolean,
): string | undefined {
  const signers = keys.filter(
    ({ key }) => signatures.filter((signature) => isSignature(signature, key)).length > 0,
  );
  return signers[0]?.id;
}

/** A secret that is used as the text it is. */
export function readTextSecret(text: string): KeyObject | undefined {
  const bytes = Buffer.from(text, 'utf8');
  return bytes.length < secretBytesMin ? undefined : createSecretKey(bytes);
}
export const textSecretRule = `must have at least ${secretBytesMin} characters`;
