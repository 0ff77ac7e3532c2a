import { expect, test } from '@jest/globals';
import type { Readiness } from './app.ts';
import { addGauge, createRegistry, type Figures } from './metrics.ts';

let state: Readiness = { ready: true, parts: {} };
const samplesOf = (text: string, name: string) =>
  text.split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'));

test('a figure that is not known is left out, and nothing of before is shown in its place', async () => {
  const registry = createRegistry(() => state);
  let plain: Figures = 3;
  let byQueue: Figures = { payment: 1, backlog: 2 };
  addGauge(registry, { name: 'plain', help: 'a test', read: () => plain });
  addGauge(registry, { name: 'by_queue', help: 'a test', label: 'queue', read: () => byQueue });

  const known = await registry.metrics();
  plain = undefined;
  byQueue = { payment: 4, backlog: undefined };
  const unknown = await registry.metrics();
  byQueue = undefined;
  const nothing = await registry.metrics();

  expect(samplesOf(known, 'plain')).toEqual(['plain 3']);
  expect(samplesOf(known, 'by_queue')).toEqual([
    'by_queue{queue="payment"} 1',
    'by_queue{queue="backlog"} 2',
  ]);
  expect(samplesOf(unknown, 'plain')).toEqual([]);
  expect(samplesOf(unknown, 'by_queue')).toEqual(['by_queue{queue="payment"} 4']);
  expect(samplesOf(nothing, 'by_queue')).toEqual([]);
});

test('what /readyz says is told part by part, and a part that is gone is not ok for ever', async () => {
  const registry = createRegistry(() => state);

  state = {
    ready: false,
    parts: { broker: { ok: true, detail: '' }, service: { ok: false, detail: 'stopping' } },
  };
  const before = await registry.metrics();
  state = { ready: true, parts: { broker: { ok: true, detail: '' } } };
  const after = await registry.metrics();

  expect(samplesOf(before, 'paystream_')).toEqual([
    'paystream_ready 0',
    'paystream_part_ok{part="broker"} 1',
    'paystream_part_ok{part="service"} 0',
  ]);
  expect(samplesOf(after, 'paystream_')).toEqual(['paystream_ready 1', 'paystream_part_ok{part="broker"} 1']);
});

test('two registries know nothing of each other', async () => {
  const [one, other] = [createRegistry(() => state), createRegistry(() => state)];

  addGauge(one, { name: 'only_here', help: 'a test', read: () => 1 });

  expect(await one.metrics()).toContain('only_here 1');
  expect(await other.metrics()).not.toContain('only_here');
});
