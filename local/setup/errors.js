/** Its message is all that a person needs to see; there is no stack behind it. */
export class SetUpError extends Error {
  /** @param {string} message @param {{ exitCode?: number }} [options] */
  constructor(message, { exitCode = 1 } = {}) {
    super(message);
    this.name = 'SetUpError';
    this.exitCode = exitCode;
  }
}

/**
 * The first line of the innermost cause: `fetch failed` says nothing, its cause does. By shape, not by class: under
 * jest the errors of Node's own modules are of another Error.
 * @param {unknown} error
 * @returns {string}
 */
export function reasonOf(error) {
  if (typeof error !== 'object' || error === null || !('message' in error)) return String(error);
  if ('cause' in error && error.cause) return reasonOf(error.cause);
  // A host with several addresses gives one error for each, and no message of its own.
  if ('errors' in error && Array.isArray(error.errors) && error.errors.length > 0)
    return reasonOf(error.errors[0]);
  return String(error.message).trim().split('\n')[0] ?? '';
}

/** @param {unknown} error */
export function codeOf(error) {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}
