import { outageBudgetMs } from '@paystream/nats';
import { durationMs, reasonSchema } from '@paystream/runtime';
import { z } from 'zod';
import { pausables, replayModes } from './replay-store.ts';

/** The ends of what is sensible: a tenth of the pace, and a thousand times. */
export const speedSchema = z
  .number('must be a number')
  .min(0.1, 'must be at least 0.1')
  .max(1_000, 'must be at most 1000');

/** By the outage budget the broker has deleted what was not replayed. */
export const finishWithinSchema = durationMs.refine((ms) => ms <= outageBudgetMs, 'must be at most 7d');

/** What `PUT /replay` takes: what shall change, and why. */
export const replayChangeSchema = z
  .strictObject(
    {
      mode: z.enum(replayModes, `must be one of ${replayModes.join(', ')}`).optional(),
      speed: speedSchema.optional().meta({ description: '1: as it came. 4: four times as fast.' }),
      finishWithin: finishWithinSchema.nullable().optional().meta({
        description: 'A replay that would last longer from now on is sped up; null takes it back.',
      }),
      paused: z
        .enum(pausables, `must be one of ${pausables.join(', ')}`)
        .optional()
        .meta({ description: 'replay: live payments go on. all: nothing is applied; webhooks are taken.' }),
      reason: reasonSchema,
    },
    'must be a JSON object',
  )
  .meta({ id: 'ReplayChange', example: { speed: 4, reason: 'catch up before the evening' } });

const at = z.iso.datetime();

/** What `GET /replay` answers. */
export const replaySchema = z
  .strictObject({
    mode: z.enum([...replayModes, 'broker']),
    speed: z.number().min(0.1).max(1_000).meta({ description: 'As it is set.' }),
    speedNow: z.number().nullable().meta({
      description: 'The speed in force, which finishWithin may raise; null: at once, by mode or guard.',
    }),
    finishWithin: z.string().nullable().meta({ description: 'A length of time, such as 10m.' }),
    paused: z.enum(pausables),
    state: z.enum(['live', 'setting-aside', 'replaying', 'paused']),
    guard: z
      .boolean()
      .meta({ description: 'True when the rest is replayed at once because it has waited too long.' }),
    backlog: z.int().min(0).meta({ description: 'Messages that wait for their turn.' }),
    lagMs: z.int().min(0).meta({ description: 'How late the next of them is.' }),
    oldestStoredAt: at.nullable(),
    doneAt: at.nullable().meta({
      description: 'When the replay is over at this pace, at the latest; null without one, or while paused.',
    }),
    changedBy: z.string().nullable().meta({ description: 'Null: the configuration is in force.' }),
    changedAt: at.nullable(),
    reason: z.string().nullable(),
  })
  .meta({ id: 'Replay' });
