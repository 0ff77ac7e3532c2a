import type { IncomingMessage } from 'node:http';
import { Problem } from './problems.ts';

// What a proxy and a sender add are thirty; Apache's limit is the same.
const headersMax = 100;

/**
 * Refuses what two servers could read in two ways, and Node lets pass: whoever stands before us may have taken another
 * part of it for the request (RFC 9112, sections 3.2 and 6.1).
 */
export function checkRequest({ headers, rawHeaders, httpVersion }: IncomingMessage): void {
  const refuse = (why: string) => new Problem('malformed-request', why, { headers: { connection: 'close' } });
  if (httpVersion !== '1.1' && httpVersion !== '1.0') throw refuse('The request is not HTTP/1.1.');
  if (headers.host === undefined && httpVersion !== '1.0') throw refuse('The request names no host.');
  if (rawHeaders.length > 2 * headersMax)
    throw new Problem('headers-too-large', `The request must have at most ${headersMax} headers.`);
  if (hasSeveralHosts(rawHeaders)) throw refuse('The request names more than one host.');
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0'))
    throw refuse('The transfer encoding must be chunked, in HTTP/1.1.');
}

/** Node keeps the first. */
function hasSeveralHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1;
}
