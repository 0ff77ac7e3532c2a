import { createPublicKey, createSecretKey, type KeyObject, verify as verifyWithKey } from 'node:crypto';
import { decode, equals, findSigner, hmac, isFresh, readTimestamp, signaturesMax } from '../signatures.ts';
import type { Adapter, Key, RefusalCode, Verdict } from './adapter.ts';
import { currencyOf, noteOf, objectOf, txIdOf } from './candidate.ts';

const headerNames = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const;

// A dot in the id could be moved into the signed text beside it.
const idPattern = /^[A-Za-z0-9_-]{1,128}$/;
const signaturePattern = /^[^\s,]{1,16},[A-Za-z0-9+/=]{1,200}$/;
// What the specification asks for.
const secretBytes = { min: 24, max: 64 };
const publicKeyBytes = 32;

const isSymmetric = ({ key }: Key) => key.type === 'secret';
const refused = (code: RefusalCode): Verdict => ({ kind: 'refused', code });

/** Standard Webhooks 1.0.0: `v1` (HMAC-SHA256) and `v1a` (ed25519) over `<id>.<time>.<body>`. */
export const standardWebhooks: Adapter<Record<never, never>> = {
  name: 'standard-webhooks',
  settings: {},
  deliveryIdHeader: 'webhook-id',
  keepsBody: true,
  secretRule: `must be whsec_ and ${secretBytes.min} to ${secretBytes.max} bytes in base64, or whpk_ and an ed25519 public key`,

  readSecret: (text) => {
    if (text.startsWith('whpk_')) return readPublicKey(text.slice('whpk_'.length));
    const bytes = text.startsWith('whsec_') ? decode(text.slice('whsec_'.length), 'base64') : undefined;
    const fits = bytes !== undefined && bytes.length >= secretBytes.min && bytes.length <= secretBytes.max;
    return fits ? createSecretKey(bytes) : undefined;
  },

  signatureHeaders: () => headerNames,

  verify: ({ headers, body, receivedAt }, keys) => {
    const [id, time, given] = headerNames.map((name) => headers[name]);
    if (id === undefined || time === undefined || given === undefined) return refused('signature-missing');
    const timestampS = readTimestamp(String(time));
    const tokens = String(given).split(' ');
    const readable = tokens.length <= signaturesMax && tokens.every((token) => signaturePattern.test(token));
    if (!idPattern.test(String(id)) || timestampS === undefined || !readable)
      return refused('signature-malformed');

    const signed = Buffer.concat([Buffer.from(`${id}.${time}.`), body]);
    const keyId =
      findSigner(keys.filter(isSymmetric), signaturesOf(tokens, 'v1'), (signature, key) =>
        equals(signature, hmac('sha256', key, [signed])),
      ) ??
      findSigner(
        keys.filter((key) => !isSymmetric(key)),
        signaturesOf(tokens, 'v1a'),
        (signature, key) => verifyWithKey(null, signed, key, signature),
      );
    if (keyId === undefined) return refused('signature-wrong');
    if (!isFresh(timestampS, receivedAt)) return refused('signature-stale');
    return { kind: 'verified', keyId };
  },

  translate: (body, { source, deliveryId }) => {
    const { data, timestamp } = objectOf(body);
    const { txId, action, amount, currency, note, reference } = objectOf(data);
    const candidate = {
      txId: txIdOf(source, txId),
      action,
      amount,
      note: noteOf(note),
      currency: currencyOf(currency),
      reference,
      eventId: deliveryId,
      occurredAt: timestamp,
    };
    return { kind: 'translated', candidates: [candidate], unmapped: [] };
  },

  sign: ({ body, keys, at, id = 'msg_1' }) => {
    const time = String(Math.floor(at.getTime() / 1_000));
    const signatures = keys
      .filter(isSymmetric)
      .map(({ key }) => `v1,${hmac('sha256', key, [`${id}.${time}.`, body]).toString('base64')}`);
    const [idHeader, timeHeader, signatureHeader] = headerNames;
    return {
      body,
      headers: { [idHeader]: id, [timeHeader]: time, [signatureHeader]: signatures.join(' ') },
    };
  },
};

/** The bytes of one version's signatures; other versions, and what is not base64, sign nothing here. */
function signaturesOf(tokens: readonly string[], version: string): Uint8Array[] {
  return tokens
    .map((token) => token.split(','))
    .filter(([given]) => given === version)
    .flatMap(([, text = '']) => decode(text, 'base64') ?? []);
}

function readPublicKey(text: string): KeyObject | undefined {
  const bytes = decode(text, 'base64');
  if (bytes?.length !== publicKeyBytes) return undefined;
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') };
  return createPublicKey({ key: jwk, format: 'jwk' });
}
