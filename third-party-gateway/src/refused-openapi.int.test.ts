import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOpenapiCheck } from '../../runtime/src/testing/openapi-check.ts';
import { eventually } from '../../test/harness.ts';
import { openapi } from './openapi.ts';
import { adapterCases } from './testing/fixtures.ts';
import { bearer, startTestGateway, type TestGateway } from './testing/start-gateway.ts';

const check = createOpenapiCheck(openapi);
const json = { 'content-type': 'application/json' };

let gateway: TestGateway;
let nobodys: TestGateway;
let verifies = true;
const sources = () => adapterCases().map((one) => one.source({ verifies }));
beforeAll(async () => {
  [gateway, nobodys] = await Promise.all([startTestGateway({ sources }), startTestGateway({ tokens: [] })]);
  for (let sent = 1; sent <= 3; sent += 1) {
    await ask('/webhooks/stripe', { method: 'POST', headers: json, body: '{"type":"a"}' });
    await eventually(() => gateway.refused.get(sent), { until: (kept) => kept !== undefined });
  }
});
afterAll(() => Promise.all([gateway.close(), nobodys.close()]));

async function ask(path: string, init: RequestInit = {}, of = gateway) {
  const answer = await fetch(`${of.url}${path}`, init);
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

test('the examples of the OpenAPI document are taken', async () => {
  const examples = check.examples().filter(({ template }) => template.startsWith('/refused'));

  // One with and one without its parameters, one webhook, one retry.
  expect(examples.length).toBe(4);
  for (const { method, template, path, headers, body } of examples) {
    const init = { method: method.toUpperCase(), headers: { ...headers, ...bearer('operator') } };
    const answer = await ask(path, body === undefined ? init : { ...init, body });

    expect([path, answer.status]).toEqual([path, 200]);
    expect(check.compare({ method, template, ...answer })).toEqual([]);
  }
});

type Way = () => ReturnType<typeof ask>;
const look = (path: string) => () => ask(path, { headers: bearer('viewer') });
const retry =
  (path: string, { headers = bearer('operator'), body = '{"reason":"a test"}', of = gateway } = {}): Way =>
  () =>
    ask(path, { method: 'POST', headers: { ...json, ...headers }, body }, of);

const ways = (): Record<string, Way> => ({
  'get /refused 200': look('/refused'),
  'get /refused 400': look('/refused?limit=0'),
  'get /refused 401': () => ask('/refused'),
  'get /refused 403': () => ask('/refused', { headers: bearer('viewer') }, nobodys),
  'get /refused/{sequence} 200': look('/refused/2'),
  'get /refused/{sequence} 400': look('/refused/x'),
  'get /refused/{sequence} 401': () => ask('/refused/2'),
  'get /refused/{sequence} 403': () => ask('/refused/2', { headers: bearer('viewer') }, nobodys),
  'get /refused/{sequence} 404': look('/refused/99'),
  'post /refused/{sequence}/retry 200': async () => {
    verifies = false;
    const answer = await retry('/refused/2/retry')();
    verifies = true;
    expect(JSON.parse(answer.text)).toMatchObject({ outcome: 'accepted', messages: [{ duplicate: false }] });
    return answer;
  },
  'post /refused/{sequence}/retry 400': retry('/refused/3/retry', { body: '{"reason":' }),
  'post /refused/{sequence}/retry 401': retry('/refused/3/retry', { headers: { authorization: 'Bearer x' } }),
  'post /refused/{sequence}/retry 403': retry('/refused/3/retry', { headers: bearer('viewer') }),
  'post /refused/{sequence}/retry 404': retry('/refused/2/retry'),
  'post /refused/{sequence}/retry 413': retry('/refused/3/retry', { body: ' '.repeat(5_000) }),
  'post /refused/{sequence}/retry 415': retry('/refused/3/retry', {
    headers: { ...bearer('operator'), ...{ 'content-type': 'text/plain' } },
  }),
  // The last ones, since the broker does not come back.
  'get /refused 503': async () => {
    await gateway.broker().stop();
    await eventually(() => gateway.connection.state().up, { until: (up) => !up });
    return look('/refused')();
  },
  'get /refused/{sequence} 503': look('/refused/3'),
  'post /refused/{sequence}/retry 503': retry('/refused/3/retry'),
});

test('every answer that it promises can be made to happen, and is as promised', async () => {
  const happened: string[] = [];
  for (const [promise, make] of Object.entries(ways())) {
    const [method = '', template = '', status] = promise.split(' ');
    const answer = await make();

    expect([promise, answer.status]).toEqual([promise, Number(status)]);
    expect([promise, check.compare({ method, template, ...answer })]).toEqual([promise, []]);
    happened.push(promise);
  }

  // A bug of ours is the same everywhere: openapi.int.test.ts.
  const promised = check.promised().filter((one) => one.includes('/refused') && !one.endsWith(' 500'));
  expect(happened.toSorted()).toEqual(promised.toSorted());
});
