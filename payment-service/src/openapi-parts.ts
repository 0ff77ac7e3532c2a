import type { z } from 'zod';

/** Who may change something. */
export const operators = [{ operatorToken: [] }];
/** A service that only its own machine can reach shows everything to whoever asks. */
export const viewers = [...operators, {}];
export const json = (schema: z.ZodType) => ({ content: { 'application/json': { schema } } });
