import { describe, expect, test } from '@jest/globals';
import { decodeEvent, headerNames } from '@paystream/nats';
import { labelIn } from './history.ts';
import { createPoison } from './poison.ts';
import { createRandom } from './random.ts';

const poisons = Array.from({ length: 6 }, (_, index) => createPoison(index + 1, createRandom(7, 0)));

describe('poison', () => {
  test.each(poisons)('$label cannot be read: $reason', ({ label, reason, subject, data, version }) => {
    const decoded = decodeEvent({
      subject,
      data,
      header: (name) => (name === headerNames.version ? version : undefined),
      storedAt: new Date(),
    });

    expect(decoded).toMatchObject({ kind: 'unreadable', reason });
    expect(labelIn(Buffer.from(data).toString('latin1'))).toBe(label);
  });

  test('is of every kind there is', () => {
    expect(new Set(poisons.map(({ reason }) => reason))).toEqual(
      new Set(['not-json', 'not-utf8', 'not-an-event', 'subject-mismatch', 'unknown-version']),
    );
  });
});
