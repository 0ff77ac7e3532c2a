import { describe, expect, test } from '@jest/globals';
import type { RefusedWebhook } from '@paystream/nats';
import { pino } from 'pino';
import { eventually } from '../../test/harness.ts';
import { createRefusedKeeper, type Decided } from './refused-keeper.ts';

function keeperOn(keep: (webhook: RefusedWebhook) => Promise<void>) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { ...createRefusedKeeper({ refused: { keep }, log, logEveryMs: 5 }), lines };
}

/** A stream that takes everything at once. */
function ready() {
  const taken: RefusedWebhook[] = [];
  const keeper = keeperOn(async (webhook) => void taken.push(webhook));
  return { ...keeper, taken };
}

function refusedBy(
  source: string,
  { bytes = 10, headers = {} }: { bytes?: number; headers?: object } = {},
): Decided {
  return {
    source: { name: source, signatureHeaders: ['x-signature', 'authorization', 'cookie', 'x-api-key'] },
    webhook: { headers: { ...headers }, body: Buffer.alloc(bytes), receivedAt: new Date() },
    decision: { kind: 'refused', code: 'signature-wrong' },
  };
}
const settled = ({ counts }: ReturnType<typeof ready>, of: number) =>
  eventually(counts, { until: ({ kept, notKept }) => kept + notKept === of });
const times = (count: number, work: () => void) => {
  for (let done = 0; done < count; done += 1) work();
};

describe('what was refused', () => {
  test('is kept after the answer: nothing of it happens before', async () => {
    const keeper = ready();

    keeper.keep(refusedBy('stripe'));
    // What a handler throws becomes its answer by promises and by the next tick.
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    await new Promise<void>((resolve) => process.nextTick(resolve));
    const before = keeper.taken.length;

    expect(await settled(keeper, 1)).toEqual({ kept: 1, notKept: 0 });
    expect([before, keeper.taken.length]).toEqual([0, 1]);
  });

  test('is not kept with a header that opens doors, even where a source is set to verify by it', async () => {
    const keeper = ready();
    const headers = {
      'x-signature': 'abc',
      authorization: 'Bearer secret',
      cookie: 'secret',
      'x-api-key': 'secret',
      'x-other': 'of no use',
    };

    keeper.keep(refusedBy('stripe', { headers }));
    await settled(keeper, 1);

    expect(keeper.taken.map((webhook) => webhook.headers)).toEqual([{ 'x-signature': 'abc' }]);
  });

  test('is what was refused, and nothing that was taken', async () => {
    const keeper = ready();
    const accepted = { kind: 'accepted' as const, keyId: 'a', events: [], unmapped: [], webhook: undefined };

    keeper.keep({ ...refusedBy('stripe'), decision: accepted });
    keeper.keep({ ...refusedBy('stripe'), decision: { kind: 'malformed', detail: 'why' } });
    await settled(keeper, 1);

    expect(keeper.taken).toMatchObject([{ reason: 'malformed-request', detail: 'why' }]);
  });
});

describe('an attack', () => {
  test('has 100 in ten seconds of a source kept; the rest is counted, and told in one line', async () => {
    const keeper = ready();

    times(1_000, () => keeper.keep(refusedBy('stripe')));

    expect(await settled(keeper, 1_000)).toEqual({ kept: 100, notKept: 900 });
    await eventually(() => keeper.lines, { until: ({ length }) => length > 0 });
    expect(keeper.lines).toMatchObject([
      { level: 40, msg: 'refused.not-kept', missed: { 'stripe: too many': 900 } },
    ]);
  });

  test('with large bodies has fewer kept', async () => {
    const keeper = ready();

    times(100, () => keeper.keep(refusedBy('stripe', { bytes: 262_144 })));

    expect(await settled(keeper, 100)).toEqual({ kept: 3, notKept: 97 });
  });

  test('on one source leaves the others their room', async () => {
    const keeper = ready();

    times(1_000, () => keeper.keep(refusedBy('stripe')));
    times(5, () => keeper.keep(refusedBy('adyen')));
    await settled(keeper, 1_005);

    expect(keeper.taken.filter(({ source }) => source === 'adyen')).toHaveLength(5);
  });

  test('on a broker that stands still holds ten of them, and forgets the rest', async () => {
    let asked = 0;
    const answers: (() => void)[] = [];
    const keeper = keeperOn(() => {
      asked += 1;
      return new Promise((resolve) => answers.push(resolve));
    });

    times(50, () => keeper.keep(refusedBy('stripe')));
    await eventually(keeper.counts, { until: ({ notKept }) => notKept === 40 });
    expect(asked).toBe(10);
    for (const answer of answers) answer();

    expect(await eventually(keeper.counts, { until: ({ kept }) => kept === 10 })).toEqual({
      kept: 10,
      notKept: 40,
    });
  });
});

test('a broker that takes none is counted and told by its reason', async () => {
  const keeper = keeperOn(() => Promise.reject(new Error('no stream')));

  keeper.keep(refusedBy('stripe'));

  await eventually(() => keeper.lines, { until: ({ length }) => length > 0 });
  expect(keeper.lines).toMatchObject([{ missed: { 'stripe: no stream': 1 } }]);
  expect(keeper.counts()).toEqual({ kept: 0, notKept: 1 });
});
