import { fileURLToPath } from 'node:url';

/** Whether this runs as it was built, one folder deeper than its source: then it starts the services as they were built. */
export const isBuilt = import.meta.url.endsWith('.js');

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL(isBuilt ? '../../../' : '../../', import.meta.url));
