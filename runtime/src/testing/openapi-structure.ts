// The rules of OpenAPI 3.1 for the parts that our documents use, as a JSON Schema. Closed on purpose: a misspelt
// or unknown field is an error, and whoever uses a new part of OpenAPI adds it here.

const text = { type: 'string', minLength: 1 };
const schemaObject = { type: 'object' };
const mapOf = (values: object) => ({ type: 'object', additionalProperties: values });
const closed = (required: string[], properties: Record<string, object>) => ({
  type: 'object',
  required,
  properties,
  additionalProperties: false,
});

const examples = mapOf(closed(['value'], { summary: text, description: text, value: {} }));
const media = closed(['schema'], { schema: schemaObject, example: {}, examples });
// A media type by its name: a typing error there would make the whole answer unreadable to a generated client.
const content = {
  type: 'object',
  minProperties: 1,
  propertyNames: { pattern: '^[a-z]+/[a-z0-9.+-]+$' },
  additionalProperties: media,
};

const parameter = {
  ...closed(['name', 'in', 'schema'], {
    name: text,
    in: { enum: ['query', 'header', 'path'] },
    description: text,
    required: { type: 'boolean' },
    deprecated: { type: 'boolean' },
    schema: schemaObject,
    example: {},
    examples,
  }),
  if: { type: 'object', properties: { in: { const: 'path' } } },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { type: 'object', properties: { required: { const: true } }, required: ['required'] },
};

const header = closed(['schema'], {
  description: text,
  required: { type: 'boolean' },
  schema: schemaObject,
  example: {},
});
const response = closed(['description'], { description: text, headers: mapOf(header), content });

const operation = closed(['operationId', 'summary', 'responses'], {
  operationId: { type: 'string', pattern: '^[a-z][A-Za-z0-9]*$' },
  summary: text,
  description: text,
  tags: { type: 'array', items: text },
  security: { type: 'array', items: mapOf({ type: 'array', items: text }) },
  parameters: { type: 'array', items: parameter },
  requestBody: closed(['content'], { description: text, required: { type: 'boolean' }, content }),
  responses: {
    type: 'object',
    minProperties: 1,
    propertyNames: { pattern: '^[1-5][0-9]{2}$' },
    additionalProperties: response,
  },
});

const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

export const openapiStructure = closed(['openapi', 'info', 'paths'], {
  openapi: { type: 'string', pattern: '^3\\.1\\.\\d+$' },
  info: closed(['title', 'version'], { title: text, version: text, description: text }),
  servers: { type: 'array', items: closed(['url'], { url: text, description: text }) },
  tags: { type: 'array', items: closed(['name'], { name: text, description: text }) },
  paths: {
    type: 'object',
    propertyNames: { pattern: '^/' },
    additionalProperties: closed([], Object.fromEntries(methods.map((method) => [method, operation]))),
  },
  components: closed([], {
    schemas: {
      type: 'object',
      propertyNames: { pattern: '^[A-Za-z0-9._-]+$' },
      additionalProperties: schemaObject,
    },
    securitySchemes: mapOf({ type: 'object', required: ['type'], properties: { type: text } }),
  }),
});
