import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { operatorEntry } from '@paystream/runtime';
import { eventually, get, post, type System, startSystem, throwAwayFolder } from './harness.ts';

const folder = throwAwayFolder('translate');
const file = join(folder.path, 'sources.yaml');
const writeMapping = (values: string) =>
  writeFileSync(
    file,
    `acme:
  adapter: hmac
  verify: none
  currency: EUR
  mapping:
    txId: $.order
    action: { path: $.state, values: { ${values} } }
    amount: $.total
`,
  );

let system: System;
let gateway: Service;
let payments: Service;
beforeAll(async () => {
  writeMapping('new: NEW');
  system = await startSystem();
  gateway = await system.startGateway({ SOURCES_FILE: file });
  payments = await system.startPayments({
    OPERATOR_TOKENS: operatorEntry({ name: 'otto', role: 'operator', token: 'otto-token' }),
  });
  await Promise.all([gateway.ready(), payments.ready()]);
});
afterAll(async () => {
  await system.close();
  folder.remove();
});

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const send = (body: object) => post(gateway, body, { path: '/webhooks/acme' });
const translate = (id: string) =>
  post(
    payments,
    { reason: 'the mapping knows paid now' },
    {
      path: `/webhooks-received/${id}/translate`,
      headers: { authorization: 'Bearer otto-token', traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    },
  );

describe('a webhook that nobody had mapped', () => {
  test('is applied, once, when the mapping was mended and an operator has it translated again', async () => {
    await send({ order: 1, state: 'new', total: 100 });
    const sent = await send({ order: 1, state: 'paid', total: 100 });
    const [, id = ''] = /^acme\.unmapped\.([0-9a-f]{32})$/.exec(sent.body.id) ?? [];
    await eventually(() => get(payments, `/webhooks-received/${id}`), {
      until: ({ status }) => status === 200,
    });
    const before = await translate(id);

    writeMapping('new: NEW, paid: APPROVED');
    process.kill(gateway.pid, 'SIGHUP');
    await eventually(() => gateway.lines.some((line) => line.includes('sources.reloaded')), {
      until: (said) => said,
    });
    const first = await translate(id);
    const second = await translate(id);

    const why = 'no action is mapped to the value "paid"';
    expect([before.status, before.body]).toEqual([200, { messages: 0, duplicates: 0, reasons: [why] }]);
    expect([first.status, first.body]).toEqual([200, { messages: 1, duplicates: 0, reasons: [] }]);
    expect([second.status, second.body]).toEqual([200, { messages: 1, duplicates: 1, reasons: [] }]);
    const { body } = await eventually(() => get(payments, '/transactions/acme:1?wait=5'), {
      until: ({ body: seen }) => seen.status === 'approved',
    });
    expect(body.actionHistory).toHaveLength(2);
    expect(body.actionHistory[1]).toMatchObject({ action: 'APPROVED', webhookId: id });
    // What came of the operator's request is of its trace.
    const settled = payments.lines.filter(
      (line) => line.includes('message.settled') && line.includes(traceId),
    );
    expect(settled.map((line) => JSON.parse(line))).toMatchObject([{ traceId, action: 'APPROVED' }]);
    const kept = await get(payments, `/webhooks-received/${id}`);
    expect(kept.body.reasons).toEqual([]);
    expect(kept.body.translations).toMatchObject([
      { by: 'otto', messages: 0 },
      { by: 'otto', messages: 1, duplicates: 0, reason: 'the mapping knows paid now' },
      { by: 'otto', messages: 1, duplicates: 1 },
    ]);
  });

  test('cannot be translated for a source that is gone', async () => {
    const sent = await send({ order: 2, state: 'void', total: 1 });
    const id = sent.body.id.split('.').at(-1);
    await eventually(() => get(payments, `/webhooks-received/${id}`), {
      until: ({ status }) => status === 200,
    });
    writeFileSync(file, 'x-payment: { adapter: x-payment, verify: none }');
    process.kill(gateway.pid, 'SIGHUP');
    await eventually(() => gateway.lines.filter((line) => line.includes('sources.reloaded')).length, {
      until: (count) => count === 2,
    });

    const { status, body } = await translate(id);

    expect([status, body.code]).toEqual([409, 'translation-failed']);
  });

  test('waits for a gateway: 503 while none is there', async () => {
    const { body: kept } = await get(payments, '/transactions/acme:1');
    const { webhookId } = kept.actionHistory[0];
    await gateway.stop();

    const { status, body, headers } = await translate(webhookId);

    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'broker-unavailable', '2']);
  });
});
