import { z } from 'zod';
import type { Key, Signed, Unsigned, Verdict, Webhook } from './adapters/adapter.ts';
import { decode, equals, findSigner, hmac, isFresh, readTimestamp } from './signatures.ts';

const headerName = z
  .string()
  .regex(/^[a-z0-9-]{1,64}$/i, 'must be the name of a header')
  .transform((name) => name.toLowerCase());

/** An HMAC of the body in a header, as most senders do it that have no scheme of their own. */
export const bodySignatureSchema = z.strictObject({
  header: headerName.default('x-signature'),
  algorithm: z.enum(['sha256', 'sha512'], 'must be sha256 or sha512').default('sha256'),
  encoding: z.enum(['hex', 'base64'], 'must be hex or base64').default('hex'),
  /** What stands before it in the header, as in GitHub's `sha256=`. */
  prefix: z
    .string()
    .regex(/^[\x21-\x7e]{0,32}$/, 'must be at most 32 printable characters')
    .default(''),
  /** Given: the header with the time in seconds, and signed is `<time>.<body>`. */
  timestampHeader: headerName.optional(),
});
export type BodySignature = z.infer<typeof bodySignatureSchema> & {
  /** A header that is signed as well where it is sent: `<id>.` stands first. It tells two events apart. */
  idHeader?: string;
};

/** The headers that it stands in, and those that it covers. */
export function bodySignatureHeaders({ header, timestampHeader, idHeader }: BodySignature): string[] {
  return [header, timestampHeader, idHeader].filter((name) => name !== undefined);
}

/** Says whether one of the keys signed these bytes, and not too long ago where the sender tells its time. */
export function verifyBodySignature(
  { headers, body, receivedAt }: Webhook,
  keys: readonly Key[],
  { header, algorithm, encoding, prefix, timestampHeader, idHeader }: BodySignature,
): Verdict {
  const given = headers[header];
  const time = timestampHeader === undefined ? undefined : headers[timestampHeader];
  const lacksTime = timestampHeader !== undefined && time === undefined;
  if (given === undefined || lacksTime) return { kind: 'refused', code: 'signature-missing' };
  if (typeof given !== 'string' || !given.startsWith(prefix))
    return { kind: 'refused', code: 'signature-malformed' };
  const text = given.slice(prefix.length);
  // Some write their hex in upper case.
  const signature = decode(encoding === 'hex' ? text.toLowerCase() : text, encoding);
  const timestampS = time === undefined ? undefined : readTimestamp(String(time));
  if (signature === undefined || (time !== undefined && timestampS === undefined))
    return { kind: 'refused', code: 'signature-malformed' };

  const id = idHeader === undefined ? undefined : headers[idHeader];
  const parts = signedParts({ id, time, body });
  const keyId = findSigner(keys, [signature], (one, key) => equals(one, hmac(algorithm, key, parts)));
  if (keyId === undefined) return { kind: 'refused', code: 'signature-wrong' };
  if (timestampS !== undefined && !isFresh(timestampS, receivedAt))
    return { kind: 'refused', code: 'signature-stale' };
  return { kind: 'verified', keyId };
}

/** `<id>.<time>.<body>`, without what is not sent. A body is a JSON object, so no part can be taken for another. */
function signedParts<Body extends string | Uint8Array>({
  id,
  time,
  body,
}: {
  id: unknown;
  time: unknown;
  body: Body;
}): (string | Body)[] {
  return [...[id, time].filter((part) => part !== undefined).map((part) => `${part}.`), body];
}

/** One signature, by the first key: the header has room for one. */
export function signBody({ body, keys, at, id: givenId }: Unsigned, signature: BodySignature): Signed {
  const { header, algorithm, encoding, prefix, timestampHeader, idHeader } = signature;
  const time = timestampHeader === undefined ? undefined : String(Math.floor(at.getTime() / 1_000));
  const id = idHeader === undefined ? undefined : givenId;
  const parts = signedParts({ id, time, body });
  const headers: Record<string, string> = {};
  if (timestampHeader !== undefined && time !== undefined) headers[timestampHeader] = time;
  if (idHeader !== undefined && id !== undefined) headers[idHeader] = id;
  const [first] = keys;
  if (first !== undefined)
    headers[header] = `${prefix}${hmac(algorithm, first.key, parts).toString(encoding)}`;
  return { body, headers };
}
