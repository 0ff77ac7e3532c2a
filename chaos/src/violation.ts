/** What can be broken, and which promise that breaks. The letters are those of the list in docs/numbers.md. */
export const invariants = {
  lost: 'a webhook answered 200 is recorded once',
  invented: 'nothing is recorded that was not sent',
  changed: 'what is recorded is what was sent',
  twice: 'nothing is recorded twice',
  'two-documents': 'a transaction is one document',
  'no-unique-index': 'the index stands that makes it one',
  'answered-without-broker': 'no 200 without the word of the broker',
  'poison-not-kept': 'a message that nobody can read is kept, once, with its reason',
  'good-one-put-aside': 'a message that can be read is no dead letter',
  'slow-answer': 'every webhook is answered within 5 s',
  'no-answer': 'a gateway that lives answers',
  'wrong-state': 'the state does not depend on order, repeats or delays',
  'stale-won': 'an older event never wins over a newer one',
  'history-broken': 'places in a history are 1, 2, 3, …, and each write is one version',
  'went-back': 'a transaction never goes back',
  'fact-changed': 'what is recorded never changes',
  'not-drained': 'when the faults are over, everything drains and is ready by itself',
  'not-healed': 'after a fault the service is back within a minute',
  'too-large': 'a process stays under 300 MiB',
  'bad-stop': 'SIGTERM ends a service within 10 s with exit code 0',
  crashed: 'no process ends by itself',
  'clock-trusted': 'no order by the clock of a gateway',
} as const;

export type ViolationKind = keyof typeof invariants;

export interface Violation {
  kind: ViolationKind;
  /** Whom or what it is about. */
  what: string;
}
