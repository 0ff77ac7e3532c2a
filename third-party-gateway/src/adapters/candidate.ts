/** The parts of a webhook's JSON, read without a thought about what it holds. */
export type Json = Readonly<Record<string, unknown>>;

const nothing: Json = {};

/** The value as an object; an empty one where it is none. */
export function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object(value) : nothing;
}

/** A text, a number or a boolean as text; empty for all else, also for what says of itself how it is to be written. */
export function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : '';
}

/** `<source>:<their id>`: two sources may use the same ids. */
export function txIdOf(source: string, id: unknown): string | undefined {
  return typeof id === 'string' && id !== '' ? `${source}:${id}` : undefined;
}

// What the contract takes.
const noteCharactersMax = 1_000;

/** The first text that is there, cut to what a note may hold: no event is held up for the length of a remark. */
export function noteOf(...texts: unknown[]): string {
  const found = texts.find((text) => typeof text === 'string' && text !== '');
  const characters =
    typeof found === 'string' ? [...found.toWellFormed().slice(0, 2 * noteCharactersMax)] : [];
  return characters.slice(0, noteCharactersMax).join('').toWellFormed();
}

/** Seconds since 1970 as ISO 8601, or undefined. */
export function timeOf(seconds: unknown): string | undefined {
  const isTime = typeof seconds === 'number' && Number.isSafeInteger(seconds) && Math.abs(seconds) < 1e11;
  return isTime ? new Date(seconds * 1_000).toISOString() : undefined;
}

/** In capitals where it is a text; whether it is a currency, the contract says. */
export function currencyOf(code: unknown): unknown {
  return typeof code === 'string' ? code.toUpperCase() : code;
}
