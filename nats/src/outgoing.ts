import { type MsgHdrs, headers as newHeaders } from 'nats';
import { type EncodedMessage, headerNames } from './messages.ts';
import type { Headers } from './origin.ts';

/** A message on its way to a stream. */
export interface OutgoingMessage {
  subject: string;
  data: Uint8Array;
  /** Its `Nats-Msg-Id`: the broker stores it once within its duplicate window. */
  id: string;
  headers: Headers;
}

/** An encoded event as it is published. */
export function toOutgoing({ subject, id, data, headers }: EncodedMessage): OutgoingMessage {
  const listed = new Map(Object.entries(headers).map(([name, value]) => [name, [value]]));
  return { subject, id, data, headers: listed };
}

/** Server error codes that decide what is done next; any other is only told. */
export const errorCodes = {
  messageTooLarge: 10054,
  noRoomOnServer: 10023,
  storageExceeded: 10047,
  streamFull: 10077,
  batchIncomplete: 10176,
  batchOff: 10174,
  batchTooLarge: 10199,
  duplicateInBatch: 10201,
} as const;

/** No room in the stream or on the server: it passes when messages were applied, or the limit was raised. */
export const fullCodes: ReadonlySet<number> = new Set([
  errorCodes.streamFull,
  errorCodes.storageExceeded,
  errorCodes.noRoomOnServer,
]);

/** The headers for one attempt: the client writes into them, so no two attempts share them. */
export function headersOf({ headers, id }: OutgoingMessage): MsgHdrs {
  const written = newHeaders();
  for (const [name, values] of headers) {
    for (const value of values) written.append(name, value);
  }
  written.set(headerNames.messageId, id);
  return written;
}
