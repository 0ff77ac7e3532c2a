import type { NatsConnection } from 'nats';
import { publishBatch } from './batch.ts';
import { type BrokerConnection, untilDown } from './connection.ts';
import type { EncodedMessage } from './messages.ts';
import { errorCodes, toOutgoing } from './outgoing.ts';
import { noAnswer, publishSingly, reasonOf, unavailable, type Word } from './single-publish.ts';
import { paymentStreamName } from './streams.ts';

/** A message that waits for the broker's word. */
export interface Waiting {
  message: EncodedMessage;
  /** When its sender is told that there was no answer, on the clock of `performance`. */
  dueAt: number;
  /** Called once, with the broker's word or why there is none. */
  tell(word: Word): void;
  /** Its sender was told already that there was no answer: what was not sent yet need not be. */
  isGone(): boolean;
}

export interface GroupCommit {
  add(waiting: Waiting): void;
}

// The broker works on the batches of a stream one after the other, and each takes it 3 ms and a hundredth for each message
// (measured). So a second one beside it is worth its cost only when it is large: then we need not wait for the broker, nor
// it for us.
const batchesInFlightMax = 2;
const secondMin = 64;
// Half of what the server takes; what waits is at most a few hundred.
const togetherMax = 500;
// What the server keeps in memory of a batch. A larger message goes alone: refused, it would take others with it.
const togetherBytesMax = 1_048_576;
// As many messages, each alone, take the broker as long as one batch (0.3 ms each). Up to so many are on their way alone.
const togetherMin = 10;
// A stream that was made without batches may be mended meanwhile.
const batchesOffForMs = 60_000;

/**
 * Publishes what waits as one atomic batch: one write and one sync of the broker for all of it. Nobody waits for a batch
 * to fill: what comes while the broker is busy is the next one, and while it is not, each goes at once, alone. Whatever
 * a batch is refused for, nothing of it is stored then, and each of its messages is published alone: so each gets the
 * answer that it would have got without batches.
 */
export function createGroupCommit(broker: BrokerConnection, onSend: (count: number) => void): GroupCommit {
  let queue: Waiting[] = [];
  let batchesInFlight = 0;
  let aloneInFlight = 0;
  let singlesUntil = Number.NEGATIVE_INFINITY;

  const publishTogether = async (connection: NatsConnection, group: readonly Waiting[]): Promise<void> => {
    const publishing = publishBatch(
      connection,
      group.map(({ message }) => toOutgoing(message)),
      {
        timeoutMs: remainingMs(group),
        stream: paymentStreamName,
      },
    );
    const outcome = await untilDown(broker, publishing);
    switch (outcome.kind) {
      case 'stored': {
        const first = outcome.lastSequence - group.length + 1;
        for (const [index, { tell }] of group.entries()) {
          tell({ status: 'stored', sequence: first + index, duplicate: false });
        }
        return;
      }
      case 'refused':
        if (outcome.code === errorCodes.batchOff) singlesUntil = performance.now() + batchesOffForMs;
        return publishEach(connection, group);
      case 'no-answer': {
        const word = connection.isClosed() ? unavailable('broker-down', outcome.detail) : noAnswer;
        for (const { tell } of group) tell(word);
        return;
      }
      default:
        return outcome satisfies never;
    }
  };

  const publishEach = async (connection: NatsConnection, group: readonly Waiting[]): Promise<void> => {
    const one = async ({ message, tell, dueAt }: Waiting) =>
      tell(await publishSingly(broker, connection, message, remainingMs([{ dueAt }])));
    await Promise.all(group.map(one));
  };

  const publish = async (group: readonly Waiting[]): Promise<void> => {
    const connection = broker.current();
    if (connection === undefined) {
      for (const { tell } of group) tell(unavailable('broker-down', broker.state().detail));
    } else if (group.length < togetherMin || performance.now() < singlesUntil) {
      for (const _alone of group) onSend(1);
      await publishEach(connection, group);
    } else {
      onSend(group.length);
      await publishTogether(connection, group);
    }
  };

  const launch = (group: readonly Waiting[], ended: () => void) => {
    publish(group)
      .catch((error: unknown) => {
        for (const { tell } of group) tell(reasonOf(error));
      })
      .finally(() => {
        ended();
        pump();
      });
  };

  const mayBatch = () =>
    batchesInFlight < batchesInFlightMax && queue.length >= (batchesInFlight === 0 ? togetherMin : secondMin);
  const mayGoAlone = () => queue.length > 0 && batchesInFlight === 0 && aloneInFlight < togetherMin;

  const pump = () => {
    dropGone();
    while (mayBatch()) {
      batchesInFlight += 1;
      launch(takeGroup(queue), () => {
        batchesInFlight -= 1;
      });
    }
    while (mayGoAlone()) {
      aloneInFlight += 1;
      launch(queue.splice(0, 1), () => {
        aloneInFlight -= 1;
      });
    }
  };

  /** Who waits for the same id hears of it, and the next one asks anew. What nobody waits for is held no longer. */
  const dropGone = () => {
    const gone = queue.filter(({ isGone }) => isGone());
    if (gone.length === 0) return;
    queue = queue.filter(({ isGone }) => !isGone());
    for (const { tell } of gone) tell(noAnswer);
  };

  // What arrived in one turn of the event loop goes together: of a crowd that was answered and comes again, the first
  // ten would go alone, and the rest in small batches.
  let isPumping = false;
  const pumpSoon = () => {
    if (isPumping) return;
    isPumping = true;
    setImmediate(() => {
      isPumping = false;
      pump();
    });
  };

  return {
    add: (waiting) => {
      queue.push(waiting);
      pumpSoon();
    },
  };
}

/** Takes as many as fit, and one at least. */
function takeGroup(queue: Waiting[]): Waiting[] {
  let bytes = 0;
  let count = 0;
  for (const { message } of queue.slice(0, togetherMax)) {
    bytes += message.data.length;
    if (count > 0 && bytes > togetherBytesMax) break;
    count += 1;
  }
  return queue.splice(0, count);
}

/** Until the last of them is told that there was no answer; those before it are told by their own clocks. */
function remainingMs(group: readonly Pick<Waiting, 'dueAt'>[]): number {
  const lastDueAt = Math.max(...group.map(({ dueAt }) => dueAt));
  return Math.max(1, lastDueAt - performance.now());
}
