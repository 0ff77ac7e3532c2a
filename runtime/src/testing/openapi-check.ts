import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { openapiStructure } from './openapi-structure.ts';

interface Parameter {
  name: string;
  in: 'query' | 'header' | 'path';
  required?: boolean;
  schema: object;
}
interface Media {
  schema: object;
}
interface ApiResponse {
  headers?: Record<string, { required?: boolean; schema: object }>;
  content?: Record<string, Media>;
}
interface Operation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, ApiResponse>;
}
interface Api {
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, object> };
}

/** A request that the document itself gives as an example. */
export interface ExampleRequest {
  operationId: string;
  method: string;
  /** As the document writes it: `/transactions/{txId}`. */
  template: string;
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
}

/** What came back, with the operation that it answers. */
export interface CheckedAnswer {
  method: string;
  template: string;
  status: number;
  headers: Headers;
  text: string;
}

/** Reads an OpenAPI 3.1 document as a client generator would, and compares real answers with what it promises. */
export function createOpenapiCheck(document: object) {
  // Narrowed by `faults`, which a test asserts first.
  const api = document as Api;
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
  addFormats.default(ajv);
  ajv.addVocabulary(['openapi', 'info', 'paths', 'components', 'servers', 'tags', 'example']);
  ajv.addSchema(document, 'api');

  const validators = new Map<string, ValidateFunction>();
  const differences = (pointer: string, value: unknown): string[] => {
    const validate = validators.get(pointer) ?? ajv.compile({ $ref: `api#${pointer}` });
    validators.set(pointer, validate);
    return validate(value)
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  };

  return {
    /** What is wrong with the document itself; empty when nothing is. */
    faults: (): string[] => faultsOf(api, ajv, differences),
    /** Every example of the document, with and without its optional parameters. */
    examples: (): ExampleRequest[] =>
      operationsOf(api).flatMap(({ template, method, operation }) =>
        examplesOf({ api, template, method, operation }),
      ),
    /** Status by status, what each operation says it can answer: `post /webhooks/x-payment 413`. */
    promised: (): string[] =>
      operationsOf(api).flatMap(({ template, method, operation }) =>
        Object.keys(operation.responses).map((status) => `${method} ${template} ${status}`),
      ),
    /** Why the document's own schema refuses the JSON body; empty when it takes it. */
    requestFaults: ({
      method,
      template,
      body,
    }: {
      method: string;
      template: string;
      body: unknown;
    }): string[] =>
      differences(
        `/paths/${pointerToken(template)}/${method}/requestBody/content/application~1json/schema`,
        body,
      ),
    /** How the answer differs from what the document promises; empty when it does not. */
    compare: ({ method, template, status, headers, text }: CheckedAnswer): string[] => {
      const at = `/paths/${pointerToken(template)}/${method}/responses/${status}`;
      const promised = api.paths[template]?.[method]?.responses[String(status)];
      if (promised === undefined) return [`${method} ${template} does not promise ${status}`];
      const found = Object.entries(promised.headers ?? {}).flatMap(([name, { required }]) => {
        const value = headers.get(name);
        if (value === null) return required === true ? [`the header ${name} is missing`] : [];
        return differences(`${at}/headers/${pointerToken(name)}/schema`, value).map(
          (fault) => `${name}:${fault}`,
        );
      });
      return [...found, ...compareBody({ promised, at, headers, text, differences })];
    },
  };
}

type Differences = (pointer: string, value: unknown) => string[];

interface BodyComparison {
  promised: ApiResponse;
  at: string;
  headers: Headers;
  text: string;
  differences: Differences;
}

function compareBody({ promised, at, headers, text, differences }: BodyComparison): string[] {
  if (promised.content === undefined) return text === '' ? [] : ['there is a body, and none is promised'];
  const type = (headers.get('content-type') ?? '').split(';')[0] ?? '';
  if (promised.content[type] === undefined) return [`the content-type is ${type || 'missing'}`];
  const pointer = `${at}/content/${pointerToken(type)}/schema`;
  if (!type.endsWith('json')) return differences(pointer, text);
  try {
    return differences(pointer, JSON.parse(text));
  } catch {
    return ['the body is not JSON'];
  }
}

function faultsOf(api: Api, ajv: Ajv2020, differences: Differences): string[] {
  const structure = ajv.compile(openapiStructure);
  if (!structure(api)) {
    return (structure.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  }
  const ids = operationsOf(api).map(({ operation }) => operation.operationId);
  const twice = ids
    .filter((id, index) => ids.indexOf(id) !== index)
    .map((id) => `operationId ${id} stands twice`);
  return [...twice, ...templateFaults(api), ...schemaFaults(api, differences)];
}

function templateFaults(api: Api): string[] {
  return operationsOf(api).flatMap(({ template, method, operation }) => {
    const inTemplate = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const declared = (operation.parameters ?? []).filter((one) => one.in === 'path').map(({ name }) => name);
    const same = inTemplate.toSorted().join() === declared.toSorted().join();
    return same ? [] : [`${method} ${template} declares the path parameters ${declared.join()}`];
  });
}

/** Compiles every schema (so every `$ref` resolves) and holds each example against its own. */
function schemaFaults(api: Api, differences: Differences): string[] {
  return schemasIn(api, '').flatMap(({ pointer, schema }) => {
    try {
      const examples = exampleValues(schema);
      if (examples.length === 0) differences(pointer, undefined);
      return examples.flatMap((value) => differences(pointer, value).map((fault) => `${pointer}: ${fault}`));
    } catch (error) {
      return [`${pointer}: ${error instanceof Error ? error.message : String(error)}`];
    }
  });
}

function schemasIn(value: unknown, pointer: string): { pointer: string; schema: object }[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const at = `${pointer}/${pointerToken(key)}`;
    const isSchema = key === 'schema' || pointer === '/components/schemas';
    return isSchema ? [{ pointer: at, schema: child }] : schemasIn(child, at);
  });
}

const operationsOf = (api: Api) =>
  Object.entries(api.paths).flatMap(([template, item]) =>
    Object.entries(item).map(([method, operation]) => ({ template, method, operation })),
  );

interface ExampleOptions {
  api: Api;
  template: string;
  method: string;
  operation: Operation;
}

function examplesOf({ api, template, method, operation }: ExampleOptions): ExampleRequest[] {
  const given = (operation.parameters ?? []).flatMap((parameter) =>
    exampleValues(parameter, resolve(api, parameter.schema))
      .slice(0, 1)
      .map((value) => ({ ...parameter, value: String(value) })),
  );
  const required = given.filter((parameter) => parameter.required === true);
  const parameterSets = required.length === given.length ? [required] : [required, given];
  const bodies = Object.entries(operation.requestBody?.content ?? {}).flatMap(([type, media]) =>
    exampleValues(media, resolve(api, media.schema)).map((value) => ({ type, text: JSON.stringify(value) })),
  );
  return parameterSets.flatMap((parameters) =>
    (operation.requestBody === undefined ? [undefined] : bodies).map((body) => ({
      operationId: operation.operationId,
      method,
      template,
      path: pathWith(template, parameters),
      headers: {
        ...Object.fromEntries(
          parameters.filter((one) => one.in === 'header').map((one) => [one.name, one.value]),
        ),
        ...(body === undefined ? {} : { 'content-type': body.type }),
      },
      body: body?.text,
    })),
  );
}

function pathWith(template: string, parameters: (Parameter & { value: string })[]): string {
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name) =>
    encodeURIComponent(parameters.find((one) => one.in === 'path' && one.name === name)?.value ?? ''),
  );
  const query = new URLSearchParams();
  for (const one of parameters) if (one.in === 'query') query.set(one.name, one.value);
  return query.size === 0 ? path : `${path}?${query}`;
}

/** The values of `example` and `examples`, as schemas (a list) and media types (a map) write them. */
function exampleValues(...places: object[]): unknown[] {
  return places.flatMap((place) => {
    const single = 'example' in place ? [place.example] : [];
    if (!('examples' in place)) return single;
    const { examples } = place;
    if (Array.isArray(examples)) return [...single, ...examples];
    return [...single, ...Object.values(examples ?? {}).map((one) => one.value)];
  });
}

function resolve(api: Api, schema: object): object {
  if (!('$ref' in schema)) return schema;
  const name = String(schema.$ref).replace('#/components/schemas/', '');
  return api.components?.schemas?.[name] ?? {};
}

const pointerToken = (token: string) => token.replaceAll('~', '~0').replaceAll('/', '~1');
