import { checkJsonType } from '@paystream/runtime';
import express, { type RequestHandler } from 'express';

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
