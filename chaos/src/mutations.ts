import type { ViolationKind } from './violation.ts';

/** One safeguard, taken out of the sources by replacing a text that must stand there exactly once. */
export interface Mutation {
  name: string;
  /** What is no longer so. */
  what: string;
  edits: readonly { file: string; find: string; replace: string }[];
  /** Faults that need the safeguard. */
  faults: readonly string[];
  /** One of these must be found: any other failure would be for the wrong reason. */
  expected: readonly ViolationKind[];
}

export const mutations: readonly Mutation[] = [
  {
    name: 'event-id',
    what: 'the fold does not look whether it knows the event',
    edits: [
      {
        file: 'payment-service/src/domain/record.ts',
        find: 'const recordedFingerprint = known.get(event.eventId);',
        replace: 'const recordedFingerprint = [known.get(event.eventId)].find(() => false);',
      },
    ],
    faults: ['broker-forgets', 'lost-consumer-ack'],
    expected: ['twice'],
  },
  {
    name: 'version-guard',
    what: 'an update is written whatever version it was decided on',
    edits: [
      {
        file: 'payment-service/src/store-mongo-schema.ts',
        find: 'filter: { txId, version: expectedVersion },',
        replace: 'filter: { txId },',
      },
    ],
    // Slow databases make two payment-services meet in one transaction.
    faults: ['latency-payments-database', 'slices-payments-database', 'kill-payments'],
    expected: ['history-broken', 'wrong-state', 'stale-won', 'twice'],
  },
  {
    name: 'publish-acknowledgement',
    what: 'the gateway answers 200 without the word of the broker',
    edits: [
      {
        file: 'nats/src/publisher.ts',
        find: '  return { hasRoom, publish };',
        replace: [
          '  return {',
          '    hasRoom,',
          '    publish: async (event) => {',
          '      publish(event).catch(() => undefined);',
          "      return { status: 'stored', id: encodeEvent(event).id, sequence: 0, duplicate: false };",
          '    },',
          '  };',
        ].join('\n'),
      },
    ],
    faults: ['kill-broker', 'black-hole-gateway-broker'],
    expected: ['lost', 'answered-without-broker'],
  },
  {
    name: 'ack-after-write',
    what: 'a message is acknowledged when it is handed over, before its event is written',
    edits: [
      {
        file: 'nats/src/subscription.ts',
        find: 'taken.add(delivery);',
        replace: 'taken.add(delivery);\n      reply(intake, placed, verdicts.ack);',
      },
    ],
    faults: ['kill-payments'],
    expected: ['lost'],
  },
];

/** The text with the edit made; an error that says what to mend when the text is not there, or is there twice. */
export function edited(text: string, { file, find, replace }: Mutation['edits'][number]): string {
  const parts = text.split(find);
  if (parts.length !== 2) {
    throw new Error(`chaos/src/mutations.ts must be mended: ${file} has ${parts.length - 1} times: ${find}`);
  }
  return parts.join(replace);
}
