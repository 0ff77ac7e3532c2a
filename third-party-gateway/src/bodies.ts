import type { IncomingMessage, ServerResponse } from 'node:http';
import { webhookBytesMax } from '@paystream/nats';
import { overloaded, Problem, problems } from '@paystream/runtime';

/** The bodies of all webhooks in hand, bounded together. */
export interface Bodies {
  /** False: no more should be begun. */
  haveRoom(): boolean;
  /** The whole body, or a Problem. It counts as held until the answer is out and the reader has done with it. */
  read(req: IncomingMessage, res: ServerResponse): Promise<Body>;
}

export interface Body {
  bytes: Uint8Array;
  /** To be called once, when the handler is through: a sender that has gone takes no body out of our memory. */
  done(): void;
}

// What has come, and not what is announced: who announces much and sends nothing takes no room from others. 64 of the largest,
// and more of usual ones (up to 10 KB) than the events that may wait; on its way to the broker a body is held about five times.
const defaultBytesMax = 16_777_216;

export function createBodies({ bytesMax = defaultBytesMax }: { bytesMax?: number } = {}): Bodies {
  let heldByAll = 0;

  const read: Bodies['read'] = (req, res) =>
    new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let held = 0;
      // The answer, and whoever reads.
      let holders = 2;
      const count = (bytes: number) => {
        held += bytes;
        heldByAll += bytes;
      };
      const forget = () => count(-held);
      const letGo = () => {
        holders -= 1;
        if (holders === 0) forget();
      };
      const take = (chunk: Buffer) => {
        count(chunk.length);
        if (held > webhookBytesMax) refuse(tooLarge());
        else if (heldByAll > bytesMax) refuse(overloaded);
        else chunks.push(chunk);
      };
      const refuse = (problem: Problem) => {
        release();
        forget();
        // The rest is thrown away as it comes, for as long as a request may take: who is cut off in the middle of
        // sending does not see the answer.
        req.resume();
        reject(problem);
      };
      const finish = () => {
        const bytes = Buffer.concat(chunks, held);
        release();
        res.off('close', breakOff).once('close', letGo);
        resolve({ bytes, done: letGo });
      };
      // The client is gone, or took so long that it was answered already.
      const breakOff = () =>
        refuse(
          new Problem(
            res.statusCode === problems['request-timeout'].status ? 'request-timeout' : 'malformed-request',
            'The body ended before it was complete.',
          ),
        );
      const release = () => {
        req.off('data', take).off('end', finish).off('close', breakOff);
        res.off('close', breakOff);
        chunks.length = 0;
      };
      if (Number(req.headers['content-length'] ?? 0) > webhookBytesMax) return refuse(tooLarge());
      req.on('data', take).on('end', finish).on('close', breakOff);
      res.on('close', breakOff);
    });

  return { haveRoom: () => heldByAll < bytesMax, read };
}

const tooLarge = () => new Problem('body-too-large', `The body must have at most ${webhookBytesMax} bytes.`);
