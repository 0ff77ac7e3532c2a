import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually, post, webhook } from '../../test/harness.ts';
import { startTestGateway, type TestGateway } from './testing/start-gateway.ts';

let gateway: TestGateway;
let closed: string | undefined;
beforeEach(async () => {
  closed = undefined;
  gateway = await startTestGateway({ closedBecause: () => closed });
});
afterEach(() => gateway.close());

const downSeen = () => eventually(() => gateway.connection.state().up, { until: (up) => !up });

describe('while the broker does not answer', () => {
  test('no 200 comes but a 503 within 5 s, then within 1 s, and the repeat is answered when it is back', async () => {
    const body = webhook();

    gateway.broker().pause();
    const first = await post(gateway, body);
    const second = await post(gateway, body);
    gateway.broker().resume();
    const third = await eventually(() => post(gateway, body), { until: ({ status }) => status === 200 });

    expect([first.status, second.status]).toEqual([503, 503]);
    expect(first.ms).toBeLessThan(5_000);
    expect(second.ms).toBeLessThan(1_000);
    expect(first.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(first.body).toMatchObject({
      code: 'broker-unavailable',
      detail: 'The event was not confirmed in time; send it again.',
    });
    expect((await gateway.message(third.body.sequence)).event).toMatchObject(body);
    expect(await gateway.stored()).toBe(1);
  });
});

describe('while the broker is down', () => {
  test('the answer is 503 with Retry-After within 1 s, in words that name nothing behind us', async () => {
    await gateway.broker().stop();
    await downSeen();

    const answer = await post(gateway, webhook(), { headers: { 'x-request-id': 'down-1' } });

    expect(answer.status).toBe(503);
    expect(answer.ms).toBeLessThan(1_000);
    expect(answer.headers.get('retry-after')).toBe('2');
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body.detail).toBe('The event cannot be stored now; send it again.');
    expect(await gateway.linesOf('down-1')).toMatchObject([
      { status: 503, code: 'broker-unavailable', outcome: 'unavailable', reason: 'broker-down' },
    ]);
  });

  test('a request that waits for its word is answered at once, and not after the whole time', async () => {
    gateway.broker().pause();
    const waiting = post(gateway, webhook());
    await eventually(() => gateway.connection.current()?.stats().outMsgs, {
      until: (sent) => (sent ?? 0) > 4,
    });
    await gateway.broker().kill();

    const answer = await waiting;

    expect(answer.status).toBe(503);
    expect(answer.ms).toBeLessThan(2_000);
  });

  test('an invalid webhook is still told what is wrong with it', async () => {
    await gateway.broker().stop();
    await downSeen();

    expect((await post(gateway, webhook({ amount: 0 }))).status).toBe(400);
  });

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'after %s it is taken again within 2 s of its return, and remembers',
    async (signal) => {
      const kept = webhook();
      const first = await post(gateway, kept);
      await gateway.broker().stop(signal);
      await downSeen();
      expect((await post(gateway, kept)).status).toBe(503);

      await gateway.startBroker();
      const returnedAt = performance.now();
      const again = await eventually(() => post(gateway, kept), { until: ({ status }) => status === 200 });

      expect(performance.now() - returnedAt).toBeLessThan(2_000);
      expect(again.body).toEqual({ ...first.body, duplicate: true });
      expect(await gateway.stored()).toBe(1);
    },
  );
});

describe('when the stream is not there', () => {
  test('the answer is 503, and 200 once it is there again', async () => {
    const connection = await gateway.connection.whenUp(AbortSignal.timeout(1_000));
    const manager = await connection.jetstreamManager();
    const name = await manager.streams.find('payments.new');
    const { config } = await manager.streams.info(name);
    await manager.streams.delete(name);

    const refused = await post(gateway, webhook());
    await manager.streams.add(config);
    const taken = await post(gateway, webhook());

    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    expect([taken.status, taken.body.sequence]).toEqual([200, 1]);
  });

  test('a full stream says 503 and asks for more patience', async () => {
    const connection = await gateway.connection.whenUp(AbortSignal.timeout(1_000));
    const manager = await connection.jetstreamManager();
    const name = await manager.streams.find('payments.new');
    const { config } = await manager.streams.info(name);
    await manager.streams.update(name, { ...config, max_bytes: 300 });

    const answers = [await post(gateway, webhook()), await post(gateway, webhook())];

    const full = answers.at(-1);
    expect([full?.status, full?.headers.get('retry-after')]).toEqual([503, '30']);
    expect(await gateway.stored()).toBeLessThan(2);
  });
});

describe('while the settings of the broker were not compared yet', () => {
  test('a 200 could be worth nothing, so the answer is 503 and nothing is stored', async () => {
    const body = webhook();

    closed = 'The service is starting; send it again.';
    const refused = await post(gateway, body);
    const storedMeanwhile = await gateway.stored();
    closed = undefined;
    const taken = await post(gateway, body);

    expect([refused.status, refused.body.detail]).toEqual([503, 'The service is starting; send it again.']);
    expect(refused.headers.get('retry-after')).toBe('2');
    expect(storedMeanwhile).toBe(0);
    expect([taken.status, taken.body.duplicate]).toEqual([200, false]);
  });
});
