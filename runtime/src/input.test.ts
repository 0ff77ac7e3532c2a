import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { parseInput } from './input.ts';
import { Problem } from './problems.ts';

test('an answer to a thousand wrong parameters stays small', () => {
  const given = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`wrong-${index}`, '']));

  let refused: unknown;
  try {
    parseInput(z.strictObject({ limit: z.string() }), given);
  } catch (error) {
    refused = error;
  }

  expect(refused).toBeInstanceOf(Problem);
  expect(refused).toMatchObject({ code: 'invalid-parameter', errors: { length: 50 } });
  expect(String(refused).length).toBeLessThan(3_000);
});
