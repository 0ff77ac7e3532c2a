import { type PassPoint, passBy } from '@paystream/runtime';
import { createConfirmed } from './confirmed.ts';
import type { BrokerConnection } from './connection.ts';
import { createGroupCommit } from './group-commit.ts';
import { type EncodedMessage, encodeEvent, type PaymentEvent } from './messages.ts';
import { noAnswer, type UnavailableReason, unavailable, type Word } from './single-publish.ts';
import { streamDefaults } from './streams.ts';
import type { UnmappedWebhook } from './webhooks.ts';

/** The broker's word for an event, or why there is none. Without it nobody may answer 200. */
export type PublishOutcome =
  | { status: 'stored'; id: string; sequence: number; duplicate: boolean }
  | { status: 'unavailable'; id: string; reason: UnavailableReason; detail: string; retryAfterS: number };

export interface Publisher {
  /** False: what is published now is told that too many wait. */
  hasRoom(): boolean;
  /** Resolves within `answerWithinMs`, with the broker's word or the reason why it has not come. Never rejects. */
  publish(
    said: PaymentEvent | UnmappedWebhook,
    trace?: { traceparent?: string | undefined },
  ): Promise<PublishOutcome>;
}

export interface PublisherOptions {
  broker: BrokerConnection;
  /** Bounds the wait of one event. Providers give up after 10 s; we promise an answer within 5 s. */
  answerWithinMs?: number;
  /** Events that wait for the broker's word at one time: at 2,000 a second, about half a second's worth. */
  waitingMax?: number;
  /** The stream's. What the broker would not know as a repeat is not known here either. */
  duplicateWindowMs?: number;
  pass?: PassPoint;
  /** Hears how many events go to the broker together; 1: alone. */
  onSend?: (count: number) => void;
}

// While the broker is known not to answer, nobody waits longer: 503 within 1 s is the promise.
const doubtfulAnswerWithinMs = 800;
// A storm of repeats comes within seconds; what comes later the broker knows, or else the record.
const rememberedForMs = 60_000;
const rememberedMax = 10_000;

/**
 * Publishes each event under its message id, together with all others that wait, so that a repeat within the broker's
 * window is not stored again. Of two equal ids at one time only one is published, and both hear of it.
 */
export function createPublisher({
  broker,
  answerWithinMs = 4_000,
  waitingMax = 1_000,
  duplicateWindowMs = streamDefaults.duplicateWindowMs,
  pass = passBy,
  onSend = () => undefined,
}: PublisherOptions): Publisher {
  const confirmed = createConfirmed({
    idsMax: rememberedMax,
    forMs: Math.min(rememberedForMs, duplicateWindowMs),
    clock: () => performance.now(),
  });
  const groups = createGroupCommit(broker, onSend);
  // The word on each id that is on its way, whoever was told meanwhile that there was no answer in time.
  const onTheirWay = new Map<string, Promise<Word>>();
  let waitingCount = 0;
  let doubtful = false;
  // It may be another broker that answers next, or the same with the data of yesterday.
  broker.onChange(({ up }) => {
    if (!up) confirmed.forgetAll();
  });

  const ask = (message: EncodedMessage, isGone: () => boolean): Promise<Word> => {
    pass('before-publish');
    const asking = new Promise<Word>((resolve) => {
      const tell = (word: Word) => {
        if (word.status === 'stored') pass('after-publish-ack');
        onTheirWay.delete(message.id);
        doubtful = word.status === 'unavailable' && word.reason === 'no-answer';
        if (word.status === 'stored') confirmed.add(message.id, word);
        // What comes in its place will not hold what it held.
        else if (word.reason === 'stream-missing') confirmed.forgetAll();
        resolve(word);
      };
      groups.add({ message, dueAt: performance.now() + answerWithinMs, tell, isGone });
    });
    onTheirWay.set(message.id, asking);
    return asking;
  };

  /** What is known without a publish of its own; undefined: nothing is. */
  const known = (id: string): Word | Promise<Word> | undefined => {
    const sequence = confirmed.sequenceOf(id);
    if (sequence !== undefined) return { status: 'stored', sequence, duplicate: true };
    return onTheirWay.get(id)?.then(asRepeat);
  };

  const hasRoom = () => waitingCount < waitingMax;

  const publish: Publisher['publish'] = async (event, trace) => {
    const message = encodeEvent(event, trace);
    const { id } = message;
    if (broker.current() === undefined)
      return outcomeOf(id, unavailable('broker-down', broker.state().detail));
    if (!hasRoom()) {
      return outcomeOf(id, unavailable('too-many', `${waitingCount} events wait for the broker already`));
    }
    waitingCount += 1;
    const withinMs = doubtful ? Math.min(doubtfulAnswerWithinMs, answerWithinMs) : answerWithinMs;
    const late = () => {
      doubtful = true;
    };
    const word = await inTime({ ms: withinMs, late }, (isGone) => known(id) ?? ask(message, isGone));
    waitingCount -= 1;
    return outcomeOf(id, word);
  };

  return { hasRoom, publish };
}

const asRepeat = (word: Word): Word => (word.status === 'stored' ? { ...word, duplicate: true } : word);

/** The word, or that it has not come in time. */
function inTime(
  { ms, late }: { ms: number; late: () => void },
  ask: (isGone: () => boolean) => Word | Promise<Word>,
): Promise<Word> {
  return new Promise((resolve) => {
    let isGone = false;
    const timer = setTimeout(() => {
      isGone = true;
      late();
      resolve(noAnswer);
    }, ms);
    void Promise.resolve(ask(() => isGone)).then((word) => {
      clearTimeout(timer);
      resolve(word);
    });
  });
}

function outcomeOf(id: string, word: Word): PublishOutcome {
  switch (word.status) {
    case 'stored':
      return { id, ...word };
    case 'unavailable':
      return { id, ...word, retryAfterS: word.reason === 'stream-full' ? 30 : 2 };
    default:
      return word satisfies never;
  }
}
