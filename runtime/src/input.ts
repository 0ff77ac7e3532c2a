import type { z } from 'zod';
import { Problem } from './problems.ts';

/** What a request gave, parsed; throws a Problem that names every field that breaks a rule. */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  field?: string,
): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ field: key.slice(0, 64), message: 'is not a known parameter' }))
      : [{ field: field ?? (issue.path.join('.') || 'body'), message: issue.message }],
  );
  const detail = errors.map((error) => `${error.field} ${error.message}`).join(', ');
  throw new Problem('invalid-parameter', detail, { errors });
}
