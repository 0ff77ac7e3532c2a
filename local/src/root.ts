import { fileURLToPath } from 'node:url';

/** The root of the repository. This workspace runs from its source only, so the way up is always the same. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
