import { describe, expect, test } from '@jest/globals';
import { problemSchema } from './openapi.ts';
import { Problem, problemBody, problemCodes, problems } from './problems.ts';

describe('a problem document', () => {
  test.each(problemCodes)('%s fits the schema that the API pages show', (code) => {
    const body = problemBody(
      new Problem(code, 'In words.', { errors: [{ field: 'a', message: 'b' }] }),
      'r-1',
    );

    expect(problemSchema.parse(body)).toEqual({
      type: `urn:paystream:problem:${code}`,
      title: problems[code].title,
      status: problems[code].status,
      detail: 'In words.',
      code,
      requestId: 'r-1',
      message: 'In words.',
      errors: [{ field: 'a', message: 'b' }],
    });
  });

  test('has no errors where no field is to blame', () => {
    expect(problemBody(new Problem('not-found', 'Nothing.'), 'r-1')).not.toHaveProperty('errors');
  });

  test('has a title of its own for each code', () => {
    expect(new Set(problemCodes.map((code) => problems[code].title)).size).toBe(problemCodes.length);
  });
});
