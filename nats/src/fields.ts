import { z } from 'zod';
import { currencies } from './currencies.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Text that survives UTF-8: a lone surrogate would be stored as another character than the one sent. */
const text = (max: number) =>
  z
    .string()
    .refine((value) => value.isWellFormed(), 'must be well-formed Unicode')
    .refine((value) => value.length <= max || [...value].length <= max, `must have at most ${max} characters`)
    .meta({ maxLength: max });

/** A time with an offset, kept as UTC with milliseconds. An offset can carry it out of the years that the format has. */
export const timeSchema = z.iso
  .datetime({ offset: true })
  .refine((value) => utc(value).length === 24, 'must be a time in the years 0000 to 9999')
  .transform(utc);

function utc(value: string): string {
  const at = new Date(value);
  return Number.isNaN(at.getTime()) ? '' : at.toISOString();
}

/** A transaction id; the same UUID in other letters is the same transaction. */
export const txIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9_.:-]{1,128}$/, 'must be a UUID, or 1 to 128 of A-Z a-z 0-9 _ . : -')
  .transform((value) => (uuid.test(value) ? value.toLowerCase() : value));

/** The sender's UUID in lower case, as `x-payment` names transactions. */
export const uuidSchema = z
  .string()
  .regex(uuid, 'must be a UUID')
  .transform((value) => value.toLowerCase());

export const eventIdSchema = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters');
export const noteSchema = text(1_000);

/** Minor units from `min`; the upper end is the largest integer that JSON readers agree on. */
export const amountFrom = (min: number) =>
  z
    .number('must be an integer in minor units')
    .refine((value) => Number.isSafeInteger(value) && !Object.is(value, -0), {
      error: `must be an integer in minor units, up to ${Number.MAX_SAFE_INTEGER}`,
      abort: true,
    })
    .refine((value) => value >= min, `must be ${min} or more`)
    .meta({ type: 'integer', minimum: min, maximum: Number.MAX_SAFE_INTEGER });

export const currencySchema = z.string().refine((code) => currencies.has(code), 'must be an ISO 4217 code');

/** The name of a source, also in a message id. */
export const sourceSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a lower-case name');
