import express, { type RequestHandler } from 'express';
import { z } from 'zod';
import type { ZodOpenApiOverrideMetaContext } from 'zod-openapi';
import { checkJsonType } from './input.ts';

// The longest reason, every character of it escaped, is 3,000 bytes.
const bodyBytesMax = 4_096;

/** What reads the body of an operator's call. */
export function jsonBody(): RequestHandler[] {
  return [
    (req, _res, next) => {
      checkJsonType(req);
      next();
    },
    express.json({ limit: bodyBytesMax, strict: false }),
  ];
}

/** Why an operator does something. */
export const reasonSchema = z
  .string({ error: ({ input }) => (input === undefined ? 'is needed' : 'must be a string') })
  .trim()
  .min(1, 'must not be empty')
  .max(500, 'must have at most 500 characters');

export const time = z.iso.datetime({ offset: true, error: 'must be a time such as 2026-01-31T12:00:00Z' });

interface Count {
  description: string;
  min: number;
  max: number;
  fallback: number;
  example: number;
}

/** A whole number in a query: text on its way, an integer to whoever reads the document. */
export const count = ({ description, min, max, fallback, example }: Count) =>
  z
    .string()
    .regex(/^\d{1,3}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`)
    .default(fallback)
    .meta({
      description,
      example,
      override: ({ jsonSchema }: ZodOpenApiOverrideMetaContext) => {
        delete jsonSchema.pattern;
        Object.assign(jsonSchema, { type: 'integer', minimum: min, maximum: max, default: fallback });
      },
    });

/** A place in a stream, in an address. */
export const sequenceSchema = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, 'must be a whole number from 1')
  .transform(Number);

/** Bytes for a person to look at, whatever they are; `text` is null where they are no UTF-8. */
export function bytesBody(data: Uint8Array): { text: string | null; base64: string } {
  return { text: textOf(data), base64: Buffer.from(data).toString('base64') };
}

function textOf(data: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return null;
  }
}
