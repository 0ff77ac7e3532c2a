import { addToLine, type Door, onlyMethods, operatorOf, Problem, parseInput } from '@paystream/runtime';
import express, { type Express } from 'express';
import type { z } from 'zod';
import { replayChangeSchema, type replaySchema } from './replay-schemas.ts';
import { lagMs, type Replay } from './replay-types.ts';
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
  app.put('/replay', door.needs('operator'), express.json({ limit: 4_096 }), async (req, res) => {
    const { reason, finishWithin, ...asked } = parseInput(replayChangeSchema, req.body);
    if (brokerPaces) {
      throw new Problem(
        'invalid-parameter',
        'REPLAY_MODE=broker: the broker paces, and nothing can be set here.',
      );
    }
    const { setting } = replay.state();
    const changedBy = operatorOf(res);
    const given = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
    const next = {
      ...setting,
      ...given,
      ...(finishWithin === undefined ? {} : { finishWithinMs: finishWithin }),
    };
    addToLine(res, { changedBy, setting: next, reason });
    await guarded(() => replay.change({ setting: next, changedBy, changedAt: now(), reason }));
    res.json(replayBody(options));
  });
  app.all('/replay', onlyMethods('GET', 'HEAD', 'PUT'));
}

function replayBody({ replay, brokerPaces, now }: ReplayRoutesOptions): z.input<typeof replaySchema> {
  const { setting, state, speed, guard, backlog, doneAt, change } = replay.state();
  return {
    mode: brokerPaces ? 'broker' : setting.mode,
    // Infinity is no number in JSON.
    speed: Number.isFinite(speed) ? speed : 0,
    finishWithin: setting.finishWithinMs,
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
