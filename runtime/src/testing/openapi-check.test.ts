import { describe, expect, test } from '@jest/globals';
import { createOpenapiCheck } from './openapi-check.ts';

const thing = {
  type: 'object',
  properties: { id: { type: 'integer' } },
  required: ['id'],
  additionalProperties: false,
};
const operation = {
  operationId: 'getThing',
  summary: 'One thing',
  parameters: [
    { name: 'id', in: 'path', required: true, schema: { type: 'string', examples: ['a/b'] } },
    { name: 'wait', in: 'query', schema: { type: 'integer', example: 5 } },
    { name: 'x-note', in: 'header', schema: { type: 'string' } },
  ],
  responses: {
    '200': {
      description: 'It',
      headers: { etag: { required: true, schema: { type: 'string' } } },
      content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } },
    },
    '304': { description: 'As before' },
  },
};
const good = {
  openapi: '3.1.0',
  info: { title: 'Things', version: '1' },
  paths: { '/things/{id}': { get: operation } },
  components: { schemas: { Thing: { ...thing, example: { id: 1 } } } },
};
const changed = (changes: object) => ({
  ...good,
  paths: { '/things/{id}': { get: { ...operation, ...changes } } },
});

describe('the check of an OpenAPI document', () => {
  test('finds no fault in a good one', () => {
    expect(createOpenapiCheck(good).faults()).toEqual([]);
  });

  test.each([
    ['a reference that leads nowhere', { ...good, components: {} }],
    [
      'an example that its schema refuses',
      { ...good, components: { schemas: { Thing: { ...thing, example: {} } } } },
    ],
    ['a misspelt keyword', { ...good, components: { schemas: { Thing: { ...thing, maxLenght: 1 } } } }],
    ['an unknown type', { ...good, components: { schemas: { Thing: { type: 'int' } } } }],
    ['version 3.0', { ...good, openapi: '3.0.3' }],
    ['no title', { ...good, info: { version: '1' } }],
    ['an unknown field', changed({ sumary: 'x' })],
    ['no responses', changed({ responses: {} })],
    ['a response without words', changed({ responses: { '200': {} } })],
    ['a path parameter that is not declared', changed({ parameters: [] })],
    [
      'a path parameter that may be left out',
      changed({ parameters: [{ name: 'id', in: 'path', schema: {} }] }),
    ],
    [
      'an operationId twice',
      { ...good, paths: { ...good.paths, '/other': { get: { ...operation, parameters: [] } } } },
    ],
  ])('finds %s', (_name, document) => {
    expect(createOpenapiCheck(document).faults()).not.toEqual([]);
  });

  test('makes a request of each example, without and with what is optional', () => {
    const examples = createOpenapiCheck(good).examples();

    expect(examples.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'get /things/a%2Fb',
      'get /things/a%2Fb?wait=5',
    ]);
  });

  test.each([
    [
      'a body that fits',
      200,
      { 'content-type': 'application/json; charset=utf-8', etag: '"1"' },
      '{"id":1}',
      0,
    ],
    ['no body where none is promised', 304, {}, '', 0],
    ['a body where none is promised', 304, {}, 'x', 1],
    ['a field too many', 200, { 'content-type': 'application/json', etag: '"1"' }, '{"id":1,"more":1}', 1],
    ['a body that is not JSON', 200, { 'content-type': 'application/json', etag: '"1"' }, 'x', 1],
    ['another media type', 200, { 'content-type': 'text/html', etag: '"1"' }, '{"id":1}', 1],
    ['a header that is missing', 200, { 'content-type': 'application/json' }, '{"id":1}', 1],
    ['a status that is not promised', 500, {}, '', 1],
  ])('compares an answer: %s', (_name, status, headers, text, count) => {
    const check = createOpenapiCheck(good);
    const answer = { method: 'get', template: '/things/{id}', status, headers: new Headers(headers), text };

    expect(check.compare(answer)).toHaveLength(count);
  });
});
