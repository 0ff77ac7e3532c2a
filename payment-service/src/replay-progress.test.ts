import { beforeEach, describe, expect, test } from '@jest/globals';
import { outageBudgetMs } from '@paystream/nats';
import { createProgress, type Progress, type Seen } from './replay-progress.ts';
import type { ReplayChange, ReplaySetting } from './replay-store.ts';
import { collectLog } from './testing/fixture.ts';

const setting: ReplaySetting = { mode: 'original', speed: 1, finishWithinMs: null, paused: 'none' };
const startMs = Date.parse('2026-02-03T04:05:06.000Z');
const at = (ms: number) => new Date(startMs + ms);

let nowMs: number;
let progress: Progress;
let lines: Record<string, unknown>[];
beforeEach(() => {
  nowMs = startMs;
  const logged = collectLog();
  lines = logged.lines;
  progress = createProgress({
    log: logged.log,
    maxGapMs: 1_000,
    now: () => new Date(nowMs),
    clock: () => nowMs - startMs + 5,
  });
});

const nothing = { messages: 0, oldestStoredAt: undefined, newestStoredAt: undefined };
const stored = (fromMs: number, toMs: number, messages = 100) => ({
  messages,
  oldestStoredAt: at(fromMs),
  newestStoredAt: at(toMs),
});
const minute = stored(-60_000, 0);

function follow(seen: Partial<Seen> = {}) {
  const { pace } = { pace: progress.follow(seenOf(seen)) };
  return pace.speed;
}
const seenOf = (seen: Partial<Seen>): Seen => ({
  backlog: minute,
  setting,
  change: undefined,
  leads: true,
  settingAside: false,
  done: 0,
  ...seen,
});
const changed = (changedAt: Date): ReplayChange => ({
  setting,
  changedBy: 'otto',
  changedAt,
  reason: 'a test',
});
const pass = (ms: number) => {
  nowMs += ms;
};
const said = (...messages: string[]) => lines.filter(({ msg }) => messages.includes(String(msg)));

describe('the pace', () => {
  test.each<[string, Partial<ReplaySetting>, number]>([
    ['is the one that is set', { speed: 3 }, 3],
    ['is raised so that all is done within the time', { finishWithinMs: 15_000 }, 4],
    ['is not lowered by a longer one', { speed: 2, finishWithinMs: 600_000 }, 2],
    ['is at once in the mode instant', { mode: 'instant' }, Number.POSITIVE_INFINITY],
  ])('%s', (_name, said, speed) => {
    expect(follow({ setting: { ...setting, ...said } })).toBe(speed);
    expect(progress.state()).toMatchObject({ speed, guard: false });
  });

  test('is raised while less is left than the time allows, and at once when the time is over', () => {
    const within = { ...setting, finishWithinMs: 15_000 };
    follow({ setting: within });

    pass(10_000);
    expect(follow({ setting: within, backlog: stored(-30_000, 0) })).toBe(6);
    pass(5_000);
    expect(follow({ setting: within, backlog: stored(-1_000, 0) })).toBe(Number.POSITIVE_INFINITY);
  });

  test('counts the time from the change of an operator in the middle of a replay', () => {
    follow();
    pass(30_000);

    const speed = follow({
      setting: { ...setting, finishWithinMs: 15_000 },
      change: changed(at(30_000)),
      backlog: stored(-30_000, 0),
    });

    expect(speed).toBe(2);
  });

  test('and from the begin of the replay, as another instance has told it', () => {
    pass(10_000);
    progress.learn(at(0));

    expect(follow({ setting: { ...setting, finishWithinMs: 20_000 }, change: changed(at(-99_000)) })).toBe(6);
  });

  test('is at once from half of the time for which the broker keeps a message, and the leader warns of it once', () => {
    const old = stored(-outageBudgetMs / 2, 0);
    expect(follow({ backlog: old })).toBe(1);
    pass(1);
    expect(follow({ backlog: old, leads: false })).toBe(Number.POSITIVE_INFINITY);
    expect(said('replay.guard')).toEqual([]);

    follow({ backlog: stored(0, 0) });
    follow({ backlog: old });
    follow({ backlog: old });

    expect(said('replay.guard')).toMatchObject([
      { level: 40, oldestStoredAt: old.oldestStoredAt?.toISOString() },
    ]);
    expect(progress.state().guard).toBe(true);
  });
});

describe('a replay', () => {
  test('is not known before the first look', () => {
    expect(progress.beganAt()).toBeUndefined();
    expect(progress.state()).toEqual({ speed: 1, guard: false, doneAt: undefined });
  });

  test('that another instance has told holds until the broker says how far it is', () => {
    progress.learn(at(-10_000));
    follow({ backlog: undefined });
    expect(progress.beganAt()).toEqual(at(-10_000));
    expect(lines).toEqual([]);

    follow();

    expect(progress.beganAt()).toEqual(at(-10_000));
  });

  test('begins when there is a backlog, is over when there is none, and another one is another one', () => {
    follow();
    pass(1_000);
    follow();
    expect(progress.beganAt()).toEqual(at(0));

    follow({ backlog: nothing });
    expect(progress.beganAt()).toBeNull();
    pass(1_000);
    follow({ backlog: stored(1_500, 1_900) });
    expect(progress.beganAt()).toEqual(at(2_000));
  });

  test('is another one when all that is left was stored after its begin', () => {
    follow();
    pass(60_000);

    follow({ backlog: stored(30_000, 50_000) });

    expect(progress.beganAt()).toEqual(at(60_000));
  });

  test.each<[string, Partial<Seen>, Date | undefined]>([
    ['is done at the latest when its span is over', {}, at(60_000)],
    ['is done sooner at a speed', { setting: { ...setting, speed: 4 } }, at(15_000)],
    ['is done now when it goes at once', { setting: { ...setting, mode: 'instant' } }, at(0)],
    [
      'is done nobody knows when while it is paused',
      { setting: { ...setting, paused: 'replay' } },
      undefined,
    ],
    ['that is none is not done', { backlog: nothing }, undefined],
  ])('%s', (_name, seen, doneAt) => {
    follow(seen);

    expect(progress.state().doneAt).toEqual(doneAt);
  });
});

describe('the log', () => {
  test('tells the begin when all is aside, the progress every 10 s, and the end', () => {
    follow({ settingAside: true, done: 3 });
    expect(lines).toEqual([]);
    pass(400);
    follow({ done: 5 });
    pass(9_999);
    follow({ done: 20, backlog: stored(-50_000, 0, 80) });
    pass(1);
    follow({ done: 21, backlog: stored(-50_000, 0, 79) });
    pass(10_000);
    follow({ done: 100, backlog: nothing });
    follow({ done: 100, backlog: nothing });

    expect(lines).toMatchObject([
      {
        msg: 'replay.began',
        level: 30,
        left: 100,
        lagMs: 60_400,
        speed: 1,
        doneAt: at(60_400).toISOString(),
        faster: expect.stringMatching(/^curl -X PUT .*\/replay .*"speed":4/),
      },
      { msg: 'replay.progress', left: 79, done: 16, lagMs: 60_400, doneAt: at(60_400).toISOString() },
      { msg: 'replay.finished', done: 95, tookMs: 20_000 },
    ]);
    expect(lines).toHaveLength(3);
  });

  test('says of one that goes at once that it does', () => {
    follow({ setting: { ...setting, mode: 'instant' } });

    expect(lines).toMatchObject([{ msg: 'replay.began', speed: 'at once' }]);
  });

  test.each<[string, Partial<Seen>]>([
    ['does not lead', { leads: false }],
    ['is paused', { setting: { ...setting, paused: 'replay' } }],
    ['still sets aside', { settingAside: true }],
  ])('says nothing where the instance %s', (_name, seen) => {
    follow(seen);
    pass(20_000);
    follow(seen);

    expect(lines).toEqual([]);
  });

  test('is left to the next leader, which counts what it does itself', () => {
    follow({ done: 10 });
    follow({ leads: false, done: 15 });
    follow({ backlog: nothing, leads: true, done: 15 });
    follow({ done: 15 });
    follow({ backlog: nothing, done: 40 });

    expect(lines).toMatchObject([
      { msg: 'replay.began' },
      { msg: 'replay.began' },
      { msg: 'replay.finished', done: 25 },
    ]);
  });
});
