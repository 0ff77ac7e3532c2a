import { describe, expect, test } from '@jest/globals';
import { measureReplay } from './replay-numbers.ts';

// Ten events 20 ms apart, with a hole of 5 s in the middle that was shortened to 1 s.
const came = Array.from({ length: 10 }, (_, index) => index * 20 + (index >= 5 ? 4_980 : 0));
const backlog = came.map((storedAt, index) => ({
  storedAt,
  appliedAt: 100_000 + index * 5 + (index >= 5 ? 995 : 0),
}));

describe('the numbers of a replay', () => {
  test('compare the spans without the hole, and tell the hole by itself', () => {
    const numbers = measureReplay({ readyAt: 99_000, backlog, live: [], repeats: 0 }, 4);

    expect(numbers).toMatchObject({
      events: 10,
      originalMs: 160,
      appliedMs: 40,
      spanOff: 0,
      hole: { originalMs: 5_000, appliedMs: 1_000 },
      gapErrorMs: { p50: 0, p99: 0, worst: 0 },
    });
  });

  test('tell the wait for the first live event apart from the latency of those behind it', () => {
    const live = [
      { answeredAt: 99_000, appliedAt: 99_400 },
      { answeredAt: 99_200, appliedAt: 99_401 },
      { answeredAt: 99_500, appliedAt: 99_503 },
      { answeredAt: 99_550, appliedAt: 99_549 },
      { answeredAt: 99_600, appliedAt: 99_607 },
    ];

    const numbers = measureReplay({ readyAt: 99_000, backlog, live, repeats: 0 }, 4);

    expect(numbers).toMatchObject({
      untilLiveMs: 400,
      live: { count: 3, latencyMs: { p50: 3, p99: 7, worst: 7 } },
      worstLiveMs: 400,
      lagAtEndMs: 7,
    });
  });
});
