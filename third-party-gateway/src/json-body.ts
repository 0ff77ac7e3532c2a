import { type JSONVisitor, visit } from 'jsonc-parser';

export type JsonBody = { kind: 'value'; value: unknown } | { kind: 'refused'; detail: string };

// A webhook is flat; what nests deeper wants to exhaust a parser.
const depthMax = 32;

// The bytes `"`, `\`, `[` and `{`; what closes the last two stands two further in ASCII.
const quote = 0x22;
const backslash = 0x5c;
const bracket = 0x5b;
const brace = 0x7b;

const refused = (detail: string): JsonBody => ({ kind: 'refused', detail });

// Made once: it costs more than what it reads.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class Refused extends Error {
  override name = 'Refused';
}

/**
 * Reads JSON more strictly than `JSON.parse`, which keeps the last of two equal keys and so lets two readers see
 * two amounts: refuses bytes that are not UTF-8, keys that stand twice, `__proto__`, and deep nesting. A number
 * with a fraction or an exponent reads as NaN, also where it is whole (`1.0`): no amount is written like that.
 */
export function readJsonBody(bytes: Uint8Array): JsonBody {
  if (bytes.length === 0) return refused('The body is empty.');
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return refused('The body is not valid UTF-8.');
  }
  if (nestsTooDeep(bytes)) return refused(`The body nests deeper than ${depthMax} levels.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refused('The body is not JSON.');
  }
  if (JSON.stringify(value) === text && isPlain(value)) return { kind: 'value', value };
  const tree = treeBuilder(text);
  try {
    visit(text, tree.visitor, { disallowComments: true });
  } catch (error) {
    if (error instanceof Refused) return refused(error.message);
    throw error;
  }
  return { kind: 'value', value: tree.value() };
}

/**
 * Of a value that `JSON.stringify` writes again as it came, as most senders write it: no key of it stood twice, so this is all
 * that is left to look for. It takes a third of the time of a second parser.
 */
function isPlain(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  return !Object.hasOwn(value, '__proto__') && Object.values(value).every(isPlain);
}

/** Counts brackets outside of strings, which costs nothing: a parser would build every level of 256 KiB of them first. */
function nestsTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length && depth <= depthMax; at += 1) {
    const byte = bytes[at];
    if (byte === quote) inString = !inString;
    else if (inString) at += byte === backslash ? 1 : 0;
    else if (byte === bracket || byte === brace) depth += 1;
    else if (byte === bracket + 2 || byte === brace + 2) depth -= 1;
  }
  return depth > depthMax;
}

function treeBuilder(text: string): { visitor: JSONVisitor; value: () => unknown } {
  const open: (Record<string, unknown> | unknown[])[] = [];
  const keys: string[] = [];
  let root: unknown;

  const add = (value: unknown) => {
    const parent = open.at(-1);
    if (parent === undefined) root = value;
    else if (Array.isArray(parent)) parent.push(value);
    else parent[keys.pop() ?? ''] = value;
  };
  const begin = (container: Record<string, unknown> | unknown[]) => {
    add(container);
    open.push(container);
  };
  return {
    value: () => root,
    visitor: {
      onObjectBegin: () => begin({}),
      onArrayBegin: () => begin([]),
      onObjectEnd: () => void open.pop(),
      onArrayEnd: () => void open.pop(),
      onObjectProperty: (key) => {
        const parent = open.at(-1) ?? {};
        if (key === '__proto__') throw new Refused('The key __proto__ is not taken.');
        if (Object.hasOwn(parent, key))
          throw new Refused(`The key ${JSON.stringify(key.slice(0, 64))} stands twice.`);
        keys.push(key);
      },
      onLiteralValue: (value, offset, length) => {
        const whole = typeof value !== 'number' || /^-?\d+$/.test(text.slice(offset, offset + length));
        add(whole ? value : Number.NaN);
      },
    },
  };
}
