import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { Problem } from './problems.ts';

/** Throws a Problem unless the request says that its body is JSON in UTF-8, as it is. */
export function checkJsonType({ headers }: IncomingMessage): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').toLowerCase().split(';');
  const charsets = parameters
    .map((parameter) => parameter.trim())
    .filter((text) => text.startsWith('charset='));
  const isUtf8 = charsets.every((charset) => /^charset="?utf-?8"?$/.test(charset));
  if (type.trim() !== 'application/json' || !isUtf8) {
    throw new Problem('unsupported-media-type', 'The body must be application/json in UTF-8.');
  }
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new Problem('unsupported-media-type', 'A compressed body is not taken.');
  }
}

// An address has room for a thousand names; who gets so many wrong reads no list of them.
const errorsMax = 50;

/** What a request gave, parsed; throws a Problem that names every field that breaks a rule, up to 50. */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  field?: string,
): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const all = parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ field: key.slice(0, 64), message: 'is not a known parameter' }))
      : [{ field: field ?? (issue.path.join('.') || 'body'), message: issue.message }],
  );
  const errors = all.slice(0, errorsMax);
  const detail = errors.map((error) => `${error.field} ${error.message}`).join(', ');
  throw new Problem('invalid-parameter', detail, { errors });
}
