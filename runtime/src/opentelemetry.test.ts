import { expect, test } from '@jest/globals';
import { quietly } from './opentelemetry.ts';

test('that spans are not taken is told once a minute, with how many since', () => {
  let now = 0;
  let fails = true;
  const lines: object[] = [];
  const results: number[] = [];
  const exporter = quietly({
    exporter: {
      export: (_spans, done) => done(fails ? { code: 1, error: new Error('nobody is there') } : { code: 0 }),
      shutdown: async () => undefined,
    },
    log: { warn: (line: object) => void lines.push(line) },
    clock: () => now,
  });
  const exportAt = (seconds: number) => {
    now = seconds * 1_000;
    exporter.export(Array(3), ({ code }) => void results.push(code));
  };

  for (let second = 0; second < 119; second += 1) exportAt(second);
  fails = false;
  exportAt(121);
  fails = true;
  exportAt(122);

  expect(lines).toEqual([
    { spans: 3, detail: 'nobody is there' },
    { spans: 3 * 60, detail: 'nobody is there' },
    { spans: 3 * 59, detail: 'nobody is there' },
  ]);
  // The library is told all the same.
  expect(results).toEqual([...Array(119).fill(1), 0, 1]);
});
