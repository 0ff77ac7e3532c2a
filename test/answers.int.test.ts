import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Service } from '@paystream/local';
import { sendRaw } from '../runtime/src/testing/raw-http.ts';
import { post, type System, startSystem, webhook } from './harness.ts';

let system: System;
const services: Record<string, Service> = {};
beforeAll(async () => {
  system = await startSystem();
  services.gateway = await system.startGateway();
  services.payments = await system.startPayments();
  await Promise.all(Object.values(services).map((service) => service.ready()));
});
afterAll(() => system.close());

const serviceOf = (name: string): Service => {
  const service = services[name];
  if (service === undefined) throw new Error(`${name} was not started`);
  return service;
};
const portOf = (name: string) => Number(new URL(String(serviceOf(name).url)).port);

const requests = [
  'GET /',
  'GET /healthz',
  'GET /readyz',
  'GET /api-docs/',
  'GET /api-docs/swagger-initializer.js',
  'GET /nothing',
  'GET /%zz',
  'POST /healthz',
  'POST /webhooks/x-payment',
  'GET /webhooks/x-payment',
  'POST /webhooks/nobody',
  'GET /transactions',
  'GET /transactions?limit=x',
  'GET /transactions/none',
  'PUT /replay',
  'POST /dead-letters/1/redrive',
  'GET /dead-letters/1',
  'GET /webhooks-received/none',
  'BREW /',
];
const garbage = [
  'nonsense\r\n\r\n',
  'GET / HTTP/1.1\r\nconnection: close\r\n\r\n',
  'GET / HTTP/9.9\r\nhost: a\r\nconnection: close\r\n\r\n',
];

// Of Node, the servers, and every package that has a part in an answer. Addresses have a number more.
const versions = /(?<![\d.])v?\d+\.\d+\.\d+(?![\d.])/;
const stack = /\bat .+:\d+:\d+|node_modules|\.ts:\d+|file:\/\//;
const telling = ['server', 'x-powered-by', 'via', 'x-aspnet-version', 'x-runtime'];

describe.each(['gateway', 'payments'])('%s', (name) => {
  test.each(requests)(
    'answers %s without a version, a stack, or a header that names what it is made of',
    async (request) => {
      const [method = '', path = ''] = request.split(' ');
      // fetch would not send a method that nobody knows.
      const raw = await sendRaw(
        portOf(name),
        `${method} ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      );

      expect(raw.status).toBeGreaterThanOrEqual(200);
      expect([...raw.headers.keys()].filter((header) => telling.includes(header))).toEqual([]);
      expect(raw.text).not.toMatch(versions);
      expect(raw.text).not.toMatch(stack);
      // Node itself answers what it cannot parse, and there is nothing to sniff in a problem document.
      if (raw.headers.has('x-request-id')) expect(raw.headers.get('x-content-type-options')).toBe('nosniff');
    },
  );

  test.each(garbage)('answers what is not HTTP (%j) in the same way', async (bytes) => {
    const { text } = await sendRaw(portOf(name), bytes);

    expect(text).not.toMatch(versions);
    expect(text).not.toMatch(stack);
  });

  test.each([
    '/api-docs',
    '/api-docs/',
    '/api-docs/swagger-ui-bundle.js',
    '/api-docs/swagger-initializer.js',
  ])('serves %s with the headers of a page, and answers without them', async (path) => {
    const page = await fetch(`${serviceOf(name).url}${path}`);
    const answer = await fetch(`${serviceOf(name).url}/healthz`);

    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none';script-src 'self';/);
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
    });
    expect(page.headers.has('strict-transport-security')).toBe(false);
    expect([...answer.headers.keys()].sort()).toEqual([
      'connection',
      'content-length',
      'content-type',
      'date',
      'keep-alive',
      'x-content-type-options',
      'x-request-id',
    ]);
  });

  test('has no script and no handler in the page itself, which the policy would not let run', async () => {
    const page = await (await fetch(`${serviceOf(name).url}/api-docs/`)).text();

    expect(page).toContain('<script src=');
    expect(page).not.toMatch(/<script(?![^>]* src=)|\son[a-z]+=|\sstyle=|<style/);
  });

  test('makes nothing of what a proxy says of the client', async () => {
    const forwarded = {
      'x-forwarded-for': '203.0.113.9',
      'x-forwarded-proto': 'https',
      forwarded: 'for=203.0.113.9',
    };
    const path = name === 'gateway' ? '/webhooks/x-payment' : '/transactions';
    const answer =
      name === 'gateway'
        ? await post(serviceOf(name), webhook(), { path, headers: forwarded })
        : await fetch(`${serviceOf(name).url}${path}`, { headers: forwarded });

    expect(answer.status).toBe(200);
    expect(serviceOf(name).lines.join('\n')).not.toContain('203.0.113.9');
  });
});
