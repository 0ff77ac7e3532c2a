import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { provision } from './provision.ts';
import type { RefusalReason } from './refused-webhook.ts';
import { createRefusedWebhooks, RefusedUnavailable, type RefusedWebhooks } from './refused-webhooks.ts';
import { refusedOf, startBroker, type TestBroker, until, up } from './testing/fixture.ts';
import { webhookBytesMax } from './webhooks.ts';

let broker: TestBroker;
let refused: RefusedWebhooks;
const stream = 'refused-webhooks';
beforeAll(async () => {
  broker = await startBroker();
  const connection = broker.join();
  await up(connection);
  refused = createRefusedWebhooks({ broker: connection });
});
afterAll(() => broker.stop());
beforeEach(async () => {
  await provision(broker.admin, { mode: 'create' });
});
afterEach(() => broker.manager.streams.delete(stream));

const find = (query: Partial<Parameters<RefusedWebhooks['find']>[0]> = {}) =>
  refused.find({ filter: {}, after: 0, limit: 10, ...query });
const sequencesOf = async (query: Parameters<typeof find>[0]) =>
  (await find(query)).webhooks.map(({ sequence }) => sequence);

describe('a refused webhook', () => {
  test('comes back as it was, to the byte', async () => {
    const body = Buffer.from(Array.from({ length: webhookBytesMax }, (_, index) => index % 256));
    const webhook = refusedOf({ body, headers: { 'x-signature': '"ÿ\t' }, detail: 'a \u2028 b' });

    await refused.keep(webhook);

    const found = await refused.get(1);
    expect(found).toEqual({ ...webhook, sequence: 1, keptAt: expect.any(Date) });
    expect(Buffer.compare(found?.body ?? Buffer.of(), body)).toBe(0);
  });

  test('lies where its source and its reason are, and by no other name than these two', async () => {
    await refused.keep(refusedOf());

    expect((await broker.manager.streams.getMessage(stream, { seq: 1 })).subject).toBe(
      'refused.stripe.signature-wrong',
    );
    await expect(refused.keep(refusedOf({ source: 'a.>' }))).rejects.toThrow(RefusedUnavailable);
  });

  test('is taken out for good, which is no error the second time', async () => {
    await refused.keep(refusedOf());

    await refused.remove(1);
    await refused.remove(1);

    expect(await refused.get(1)).toBeUndefined();
  });
});

describe('the list', () => {
  test('is oldest first, by source, reason and time, and goes on where a page ended', async () => {
    const kept: [string, RefusalReason][] = [
      ['stripe', 'signature-wrong'],
      ['adyen', 'signature-wrong'],
      ['stripe', 'signature-stale'],
      ['stripe', 'signature-wrong'],
    ];
    for (const [source, reason] of kept) {
      await refused.keep(refusedOf({ source, reason }));
      // None of them in the millisecond of another: what is asked for below is a time.
      const keptBefore = Date.now();
      await until(async () => Date.now() > keptBefore);
    }
    const third = (await refused.get(3))?.keptAt ?? new Date();

    expect(await sequencesOf({})).toEqual([1, 2, 3, 4]);
    expect(await sequencesOf({ filter: { source: 'stripe' } })).toEqual([1, 3, 4]);
    expect(await sequencesOf({ filter: { reason: 'signature-wrong' } })).toEqual([1, 2, 4]);
    expect(await sequencesOf({ filter: { source: 'stripe', reason: 'signature-stale' } })).toEqual([3]);
    expect(await sequencesOf({ filter: { from: third } })).toEqual([3, 4]);
    expect(await sequencesOf({ filter: { to: third } })).toEqual([1, 2]);
    expect(await find({ limit: 2 })).toMatchObject({ webhooks: [{ sequence: 1 }, { sequence: 2 }], next: 2 });
    expect(await find({ after: 2, limit: 5 })).toMatchObject({
      webhooks: [{ sequence: 3 }, { sequence: 4 }],
      next: undefined,
    });
  });

  test('passes over what somebody else has put there', async () => {
    await broker.admin.jetstream().publish('refused.stripe.signature-wrong', 'by hand');
    await refused.keep(refusedOf());

    expect(await sequencesOf({})).toEqual([2]);
    expect(await refused.get(1)).toBeUndefined();
  });
});

describe('a full stream', () => {
  test('takes what comes now in the place of the oldest', async () => {
    const { config } = await broker.manager.streams.info(stream);
    await broker.manager.streams.update(stream, { ...config, max_bytes: 700_000 });

    for (let kept = 0; kept < 5; kept += 1)
      await refused.keep(refusedOf({ body: Buffer.alloc(webhookBytesMax, kept) }));

    expect(await sequencesOf({})).toEqual([4, 5]);
    expect((await broker.manager.streams.info(stream)).state.bytes).toBeLessThan(700_000);
  });
});

describe('a broker that cannot be asked', () => {
  test('is told, also where only the stream is missing', async () => {
    await broker.manager.streams.delete(stream);

    await expect(refused.keep(refusedOf())).rejects.toThrow(RefusedUnavailable);
    await expect(refused.get(1)).rejects.toThrow(RefusedUnavailable);
    await expect(find()).rejects.toThrow(RefusedUnavailable);
    await provision(broker.admin, { mode: 'create' });
  });

  test('is not waited for', async () => {
    const connection = broker.join();
    await up(connection);
    const cut = createRefusedWebhooks({ broker: connection });
    await connection.close();
    await until(() => !connection.state().up);

    await expect(cut.keep(refusedOf())).rejects.toThrow(RefusedUnavailable);
  });
});
