import { describe, expect, test } from '@jest/globals';
import { messageIdOf } from '@paystream/nats';
import fc from 'fast-check';
import type { Decision } from '../source.ts';
import { adapterCases, receivedAt, values } from '../testing/fixtures.ts';
import type { Signed } from './adapter.ts';

const cases = adapterCases();
const later = (seconds: number) => new Date(receivedAt.getTime() + seconds * 1_000);
const toWebhook = ({ body, headers }: Signed, at = receivedAt) => ({
  headers,
  body: Buffer.from(body),
  receivedAt: at,
});
const refused = (code: string) => ({ kind: 'refused', code });

function accepted(decision: Decision) {
  if (decision.kind !== 'accepted') throw new Error(`it is ${JSON.stringify(decision)}`);
  return decision;
}

describe.each(cases.map((one) => [one.adapter.name, one] as const))('the adapter %s', (name, one) => {
  const { adapter, fixtures, headers, severalSignatures, secrets, sign } = one;
  const source = one.source();
  const [first, second] = secrets;
  const [sample] = fixtures.filter(({ events }) => events[0]?.amount === values.amount && !events[1]);
  if (sample === undefined) throw new Error(`${name} has no fixture that makes one event`);
  const signed = sign(sample.body);
  const withoutHeader = (header: string): Signed => {
    const { [header]: _, ...rest } = signed.headers;
    return { ...signed, headers: rest };
  };
  const txId = name === 'x-payment' ? values.txId : `${name}:${values.txId}`;

  test.each(fixtures.map((fixture) => [fixture.type, fixture] as const))(
    'takes %s and makes of it what its fixture says',
    (_type, { body, events, unmapped }) => {
      const decision = accepted(source.decide(toWebhook(sign(body))));

      expect(decision.events).toEqual(
        events.map((event) => {
          const eventId =
            event.eventId ?? (adapter.deliveryIdHeader === undefined ? undefined : values.eventId);
          return { txId, source: name, receivedAt: receivedAt.toISOString(), ...event, eventId };
        }),
      );
      expect(decision.unmapped).toHaveLength(unmapped);
      expect(decision.keyId).toBe('key-1');
    },
  );

  test('keeps the body of what it translates, and of all that it does not', () => {
    for (const { body, unmapped } of fixtures) {
      const sent = sign(body);

      const { webhook } = accepted(source.decide(toWebhook(sent)));

      if (adapter.keepsBody || unmapped > 0) expect(webhook?.body).toBe(sent.body);
      else expect(webhook).toBeUndefined();
    }
  });

  test('knows a webhook that is sent again later, and its events, by the same ids', () => {
    for (const { body } of fixtures) {
      const [before, after] = [0, 60].map((seconds) =>
        accepted(source.decide(toWebhook(sign(body, { at: later(seconds) }), later(seconds)))),
      );

      expect(after?.events.map(messageIdOf)).toEqual(before?.events.map(messageIdOf));
      expect(after?.webhook?.id).toBe(before?.webhook?.id);
    }
  });

  test('gives each event of a batch a message id of its own', () => {
    for (const { body } of fixtures) {
      const ids = accepted(source.decide(toWebhook(sign(body)))).events.map(messageIdOf);

      expect(new Set(ids).size).toBe(ids.length);
    }
  });

  test('names every header that it verifies by, so that a refused webhook can be verified again', () => {
    const isNamed = ([header]: [string, string]) => source.signatureHeaders.includes(header);
    const kept = Object.fromEntries(Object.entries(signed.headers).filter(isNamed));

    expect(source.decide(toWebhook({ ...signed, headers: kept }))).toEqual(source.decide(toWebhook(signed)));
    expect(source.signatureHeaders).toEqual(expect.arrayContaining(headers));
  });

  if (headers.length > 0) {
    test.each(headers)('refuses a webhook without the header %s', (header) => {
      expect(source.decide(toWebhook(withoutHeader(header)))).toEqual(refused('signature-missing'));
    });

    test.each(headers)('refuses a webhook with the header %s twice', (header) => {
      const value = signed.headers[header];
      const twice = { ...signed, headers: { ...signed.headers, [header]: `${value}, ${value}` } };

      expect(source.decide(toWebhook(twice))).toEqual(refused('signature-malformed'));
    });

    test('refuses it with any byte of the body changed', () => {
      const bytes = Buffer.from(signed.body);
      for (let index = 0; index < bytes.length; index += 1) {
        const changed = Buffer.from(bytes);
        changed[index] = (changed[index] ?? 0) ^ 1;

        const decision = source.decide({ ...toWebhook(signed), body: changed });

        expect(decision).toEqual(refused('signature-wrong'));
      }
    });

    test('refuses a body with a space more at its end', () => {
      expect(source.decide(toWebhook({ ...signed, body: `${signed.body} ` }))).toEqual(
        refused('signature-wrong'),
      );
    });

    test('takes a signature that is up to five minutes old or of the future, and none beyond', () => {
      const decide = (seconds: number) =>
        source.decide(toWebhook(sign(sample.body, { at: later(seconds) }), later(0)));

      expect([-300, 300].map((seconds) => decide(seconds).kind)).toEqual(['accepted', 'accepted']);
      expect([-301, 301].map(decide)).toEqual([refused('signature-stale'), refused('signature-stale')]);
    });

    test('does not tell that a wrong signature is stale as well', () => {
      const [, other] = secrets;
      const old = sign(sample.body, { at: later(-3_600), secrets: [other] });

      expect(one.source({ secrets: [first] }).decide(toWebhook(old))).toEqual(refused('signature-wrong'));
    });

    test('reads nothing of a body before it is verified', () => {
      expect(source.decide(toWebhook({ ...signed, body: '{"not": json' }))).toEqual(
        refused('signature-wrong'),
      );
    });
  }

  test('refuses it with another amount', () => {
    const body = signed.body.replace(String(values.amount), String(values.amount + 1));

    expect(body).not.toBe(signed.body);
    expect(source.decide(toWebhook({ ...signed, body }))).toEqual(refused('signature-wrong'));
  });

  test('takes any of several secrets, and says which one it was', () => {
    const keyIds = [first, second].map(
      (secret) => accepted(source.decide(toWebhook(sign(sample.body, { secrets: [secret] })))).keyId,
    );

    expect(keyIds).toEqual(['key-1', 'key-2']);
  });

  test('takes several signatures while a secret is changed, or the one there is room for', () => {
    const both = sign(sample.body, { secrets: [first, second] });

    for (const secret of [first, second]) {
      const decision = one.source({ secrets: [secret] }).decide(toWebhook(both));

      if (severalSignatures || secret === first) expect(accepted(decision).keyId).toBe(secret.id);
      else expect(decision).toEqual(refused('signature-wrong'));
    }
  });

  test('takes a secret up to its end and not from then on', () => {
    const ending = one.source({ secrets: [{ ...first, until: receivedAt }, second] });
    const decide = (at: Date) => ending.decide(toWebhook(sign(sample.body, { at }), at));

    expect(decide(later(-1)).kind).toBe('accepted');
    expect(decide(receivedAt)).toEqual(refused('signature-wrong'));
  });

  test('refuses everything while no secret counts', () => {
    expect(one.source({ secrets: [] }).decide(toWebhook(signed))).toEqual(refused('signature-wrong'));
  });

  test('refuses broken JSON as malformed, also where it is signed', () => {
    if (headers.length === 0) return;
    expect(source.decide(toWebhook(sign('{"a":1,"a":2}'))).kind).toBe('malformed');
    expect(source.decide(toWebhook(sign('{"a":'))).kind).toBe('malformed');
  });

  test('does not refuse what is verified and not understood, unless its sender is to mend it', () => {
    const body = sample.body.replace(String(values.amount), '"much"');

    const decision = source.decide(toWebhook(sign(body)));

    if (name === 'x-payment') expect(decision.kind).toBe('invalid');
    else {
      expect(accepted(decision).events).toEqual([]);
      expect(accepted(decision).unmapped).toEqual([expect.stringMatching(/^amount /)]);
      expect(accepted(decision).unmapped.join()).not.toContain('much');
    }
  });

  test('takes any signature for what it is, and never throws', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.stringMatching(/^[a-z0-9=,. +/]*$/));
    fc.assert(
      fc.property(fc.array(text, { minLength: 3, maxLength: 3 }), fc.string(), (made, body) => {
        const given = Object.fromEntries(headers.map((header, index) => [header, made[index] ?? '']));

        const decision = source.decide(toWebhook({ headers: given, body }));

        expect(['refused', 'malformed']).toContain(decision.kind);
      }),
    );
  });

  test('never throws for a value in the place of another, verified or not', () => {
    const hostile: unknown[] = [
      { toString: 1, valueOf: 1 },
      { toString: {} },
      [[]],
      null,
      true,
      -1,
      '',
      '\ud800',
      {},
    ];
    const open = one.source({ verifies: false });
    for (const { body } of fixtures.map((fixture) => sign(fixture.body))) {
      for (const changed of hostile.flatMap((value) => replacedEverywhere(JSON.parse(body), value))) {
        const webhook = toWebhook({ headers: signed.headers, body: JSON.stringify(changed) });

        expect(['accepted', 'invalid']).toContain(open.decide(webhook).kind);
        expect(['accepted', 'refused']).toContain(source.decide(webhook).kind);
      }
    }
  });

  test('never throws for a body that is JSON', () => {
    const open = one.source({ verifies: false });
    fc.assert(
      fc.property(fc.json(), (body) => {
        const { kind } = open.decide(toWebhook({ headers: {}, body }));

        expect(['accepted', 'invalid', 'malformed']).toContain(kind);
      }),
    );
  });
});

/** The value with another one in the place of each of its parts, one at a time. */
function replacedEverywhere(value: unknown, by: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [by];
  const parts = Object.entries(value).flatMap(([key, part]) =>
    replacedEverywhere(part, by).map((replaced) =>
      Array.isArray(value) ? Object.assign([...value], { [key]: replaced }) : { ...value, [key]: replaced },
    ),
  );
  return [by, ...parts];
}
