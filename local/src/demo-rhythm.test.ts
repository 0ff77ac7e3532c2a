import { describe, expect, test } from '@jest/globals';
import { drawBeat, drawHead } from './demo-rhythm.ts';

const lanes = { cameMs: 8_000, appliedMs: 2_000, colours: false };

describe('the drawing of a replay', () => {
  test('puts an event at the same place of both lanes when its rhythm is kept', () => {
    const line = drawBeat({ kind: 'backlog', cameMs: 4_000, appliedMs: 1_000, differenceMs: 0 }, lanes);
    const [, left = '', right = ''] = line.split('|');

    expect(left.indexOf('●')).toBe(13);
    expect(right.indexOf('●')).toBe(13);
    expect(line).toContain('4.000 s   1.000 s');
  });

  test('shows a live payment by another mark, in the lane of what is applied only', () => {
    const line = drawBeat({ kind: 'live', cameMs: 9_000, appliedMs: 500, differenceMs: 4 }, lanes);
    const [, left = '', right = ''] = line.split('|');

    expect(left.trim()).toBe('');
    expect(right.indexOf('◆')).toBe(6);
    expect(line).toContain('+4 ms');
  });

  test('keeps what is early or late inside of its lane', () => {
    const early = drawBeat({ kind: 'live', cameMs: 0, appliedMs: -90, differenceMs: 1 }, lanes);
    const late = drawBeat({ kind: 'backlog', cameMs: 8_400, appliedMs: 2_300, differenceMs: 200 }, lanes);

    expect(early.split('|')[2]?.indexOf('◆')).toBe(0);
    expect(late.split('|')[2]?.indexOf('●')).toBe(25);
  });

  test('fits in a terminal of 100 columns, and has colours only when asked for', () => {
    const beat = { kind: 'backlog', cameMs: 8_000, appliedMs: 2_000, differenceMs: -1_234 } as const;
    const plain = drawBeat(beat, lanes);

    expect(Math.max(...[...drawHead(lanes).split('\n'), plain].map((line) => line.length))).toBeLessThan(100);
    expect(plain).not.toContain('\u001b');
    expect(drawBeat(beat, { ...lanes, colours: true })).toContain('\u001b');
  });
});
