import {
  addToLine,
  type Door,
  jsonBody,
  onlyMethods,
  operatorOf,
  Problem,
  parseInput,
  writeDuration,
} from '@paystream/runtime';
import type { Express } from 'express';
import type { z } from 'zod';
import { replayChangeSchema, type replaySchema } from './replay-schemas.ts';
import type { ReplaySetting } from './replay-store.ts';
import { lagMs, type Replay, type ReplayState } from './replay-types.ts';
import { guarded } from './transaction-routes.ts';

export interface ReplayRoutesOptions {
  replay: Replay;
  door: Door;
  /** The broker paces by its own replay policy, and there is nothing to set here. */
  brokerPaces: boolean;
  now: () => Date;
}

/** `GET /replay` and `PUT /replay`. */
export function mountReplay(app: Express, options: ReplayRoutesOptions): void {
  const { replay, door, brokerPaces, now } = options;

  app.get('/replay', door.needs('viewer'), (_req, res) => {
    res.set('cache-control', 'no-store').json(replayBody(options));
  });
  app.put('/replay', door.needs('operator'), ...jsonBody(), async (req, res) => {
    const { reason, ...asked } = parseInput(replayChangeSchema, req.body);
    if (brokerPaces) {
      throw new Problem(
        'invalid-parameter',
        'REPLAY_MODE=broker: the broker paces, and nothing can be set here.',
      );
    }
    addToLine(res, { reason });
    const to = (stored: ReplaySetting) => {
      const setting = changed(stored, asked);
      addToLine(res, { setting });
      return setting;
    };
    const by = { changedBy: operatorOf(res), changedAt: now(), reason };
    await guarded(() => replay.change(to, by), 'The setting may not be saved; send it again.');
    res.set('cache-control', 'no-store').json(replayBody(options));
  });
  app.all('/replay', onlyMethods('GET', 'HEAD', 'PUT'));
}

/** What is asked for, and as it was what is not. */
function changed(
  was: ReplaySetting,
  asked: Omit<z.output<typeof replayChangeSchema>, 'reason'>,
): ReplaySetting {
  return {
    mode: asked.mode ?? was.mode,
    speed: asked.speed ?? was.speed,
    finishWithinMs: asked.finishWithin === undefined ? was.finishWithinMs : asked.finishWithin,
    paused: asked.paused ?? was.paused,
  };
}

function replayBody({ replay, brokerPaces, now }: ReplayRoutesOptions): z.input<typeof replaySchema> {
  const current = replay.state();
  const { setting, state, guard, backlog, doneAt, change } = current;
  return {
    mode: brokerPaces ? 'broker' : setting.mode,
    speed: setting.speed,
    speedNow: speedNow(current),
    finishWithin: setting.finishWithinMs === null ? null : writeDuration(setting.finishWithinMs),
    paused: setting.paused,
    state,
    guard,
    backlog: backlog.messages,
    lagMs: lagMs(backlog.oldestStoredAt, now()),
    oldestStoredAt: backlog.oldestStoredAt?.toISOString() ?? null,
    doneAt: doneAt?.toISOString() ?? null,
    changedBy: change?.changedBy ?? null,
    changedAt: change?.changedAt.toISOString() ?? null,
    reason: change?.reason ?? null,
  };
}

/** Infinity is no number in JSON. Without a backlog it is the speed with which one would begin. */
function speedNow({ backlog, speed, setting }: ReplayState): number | null {
  if (backlog.messages === 0) return setting.mode === 'instant' ? null : setting.speed;
  return Number.isFinite(speed) ? speed : null;
}
