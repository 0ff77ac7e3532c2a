import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createDoor, type Door } from '@paystream/runtime';
import { createOpenapiCheck } from '../../runtime/src/testing/openapi-check.ts';
import { sendRaw } from '../../runtime/src/testing/raw-http.ts';
import { eventually, webhook } from '../../test/harness.ts';
import { openapi } from './openapi.ts';
import { adapterCases } from './testing/fixtures.ts';
import { startTestGateway, type TestGateway } from './testing/start-gateway.ts';

const check = createOpenapiCheck(openapi);

let gateway: TestGateway;
let breakPublisher = false;
let verifies = false;
let limited = false;
let door: Door = createDoor({ tokens: [], open: true });
const sources = () =>
  adapterCases()
    .filter(({ adapter }) => ['x-payment', 'standard-webhooks'].includes(adapter.name))
    .map((one) =>
      limited ? { ...one.source({ verifies }), admit: async () => 1 } : one.source({ verifies }),
    );
beforeAll(async () => {
  gateway = await startTestGateway({
    sources,
    door: { needs: (role) => (req, res, next) => door.needs(role)(req, res, next) },
    timeouts: { headersTimeoutMs: 200, requestTimeoutMs: 200 },
    publisher: (real) => ({
      ...real,
      publish: (event, trace) => {
        if (breakPublisher) throw new TypeError('secret of the driver at 10.0.0.3:4222');
        return real.publish(event, trace);
      },
    }),
  });
});
afterAll(() => gateway.close());

async function send(path: string, init: RequestInit = {}) {
  const answer = await fetch(`${gateway.url}${path}`, init);
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

// What an operator asks is held against the document beside its own test.
const isOfThis = ({ template }: { template: string }) => !template.startsWith('/refused');

const json = { 'content-type': 'application/json' };
const sendWebhook = (body: unknown) =>
  send('/webhooks/x-payment', { method: 'POST', headers: json, body: JSON.stringify(body) });

describe('the OpenAPI document', () => {
  test('is what the service serves, and follows the rules of OpenAPI 3.1', async () => {
    const { status, text } = await send('/openapi.json');

    expect(status).toBe(200);
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(openapi)));
    expect(check.faults()).toEqual([]);
  });

  test('gives examples that are answered 200 with what it promises, each of them twice', async () => {
    const examples = check.examples().filter(isOfThis);

    expect(new Set(examples.map((example) => example.template))).toEqual(
      new Set(Object.keys(pathsOf(openapi)).filter((template) => isOfThis({ template }))),
    );
    for (const { method, template, path, headers, body } of [...examples, ...examples]) {
      const answer = await send(path, { method, headers, ...(body === undefined ? {} : { body }) });

      expect([path, answer.status]).toEqual([path, 200]);
      expect(check.compare({ method, template, ...answer })).toEqual([]);
    }
  });

  test('promises nothing but what can be made to happen, and every answer is as promised', async () => {
    const happened: string[] = [];
    for (const [promise, make] of Object.entries(ways)) {
      const [method = '', template = '', status] = promise.split(' ');
      const answer = await make();

      expect([promise, answer.status]).toEqual([promise, Number(status)]);
      expect([promise, check.compare({ method, template, ...answer })]).toEqual([promise, []]);
      happened.push(promise);
    }

    const promised = check.promised().filter((one) => isOfThis({ template: one.split(' ')[1] ?? '' }));
    expect(happened.toSorted()).toEqual(promised.toSorted());
  });

  test('takes the bodies that the service takes, by its schema', () => {
    const schema = { method: 'post', template: '/webhooks/x-payment' };

    for (const body of [
      webhook(),
      webhook({ txId: webhook().txId.toUpperCase() }),
      webhook({ note: '😀'.repeat(1_000) }),
    ]) {
      expect(check.requestFaults({ ...schema, body })).toEqual([]);
    }
    for (const body of [
      webhook({ amount: 0 }),
      webhook({ note: 'n'.repeat(1_001) }),
      { ...webhook(), more: 1 },
      [],
    ]) {
      expect(check.requestFaults({ ...schema, body })).not.toEqual([]);
    }
  });
});

type Way = () => ReturnType<typeof send>;

/** What any webhook can be answered with, sent to this address. */
const webhookWays = (template: string, path: string): Record<string, Way> => {
  const post = (body: unknown, headers: Record<string, string> = json) =>
    send(path, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
  return {
    [`post ${template} 200`]: () => post(webhook()),
    [`post ${template} 400`]: () => post('{"amount":'),
    [`post ${template} 401`]: async () => {
      verifies = true;
      const answer = await post(webhook());
      verifies = false;
      return answer;
    },
    [`post ${template} 408`]: () =>
      sendRaw(
        gateway.port,
        `POST ${path} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{`,
      ),
    [`post ${template} 413`]: () => post({ note: 'n'.repeat(262_144) }),
    [`post ${template} 415`]: () => post(webhook(), { 'content-type': 'text/plain' }),
    [`post ${template} 429`]: async () => {
      limited = true;
      const answer = await post(webhook());
      limited = false;
      return answer;
    },
    [`post ${template} 500`]: async () => {
      breakPublisher = true;
      const answer = await post(webhook());
      breakPublisher = false;
      expect(answer.text).not.toMatch(/secret|TypeError|10\.0\.0\.3|\.ts/);
      return answer;
    },
  };
};

/** With the door as it is in each case. */
function metricsWays(): Record<string, Way> {
  const withDoor = (one: Door) => async () => {
    door = one;
    const answer = await send('/metrics');
    door = createDoor({ tokens: [], open: true });
    return answer;
  };
  const somebody = { name: 'vera', role: 'viewer', tokenHash: Buffer.alloc(32) } as const;
  const broken: Door = {
    needs: () => () => {
      throw new TypeError('a bug');
    },
  };
  return {
    'get /metrics 200': () => send('/metrics'),
    'get /metrics 401': withDoor(createDoor({ tokens: [somebody], open: false })),
    'get /metrics 403': withDoor(createDoor({ tokens: [], open: false })),
    'get /metrics 500': withDoor(broken),
  };
}

const ways: Record<string, Way> = {
  ...webhookWays('/webhooks/x-payment', '/webhooks/x-payment'),
  ...webhookWays('/webhooks/{source}', '/webhooks/standard-webhooks'),
  'post /webhooks/{source} 404': () =>
    send('/webhooks/nobody', { method: 'POST', headers: json, body: '{}' }),
  'get / 200': () => send('/'),
  'get /healthz 200': () => send('/healthz'),
  'get /readyz 200': () => send('/readyz'),
  ...metricsWays(),
  // The last ones, since the broker does not come back.
  'get /readyz 503': async () => {
    await gateway.broker().stop();
    await eventually(() => gateway.connection.state().up, { until: (up) => !up });
    return send('/readyz');
  },
  'post /webhooks/x-payment 503': () => sendWebhook(webhook()),
  'post /webhooks/{source} 503': () =>
    send('/webhooks/standard-webhooks', { method: 'POST', headers: json, body: '{}' }),
};

const pathsOf = (document: object) =>
  'paths' in document && document.paths instanceof Object ? document.paths : {};
