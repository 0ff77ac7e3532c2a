import { durationMs } from '@paystream/runtime';
import { z } from 'zod';
import { pausables, replayModes } from './replay-store.ts';

/** The ends of what is sensible: a tenth of the pace, and a thousand times. */
export const speedSchema = z
  .number('must be a number')
  .min(0.1, 'must be 0.1 or more')
  .max(1_000, 'must be at most 1000');

/** What `PUT /replay` takes: what shall change, and why. */
export const replayChangeSchema = z
  .strictObject({
    mode: z.enum(replayModes, `must be one of ${replayModes.join(', ')}`).optional(),
    speed: speedSchema.optional().meta({ description: '1: as it came. 4: four times as fast.' }),
    finishWithin: durationMs
      .nullable()
      .optional()
      .meta({ description: 'A replay that would last longer is sped up; null takes it back.' }),
    paused: z.enum(pausables, `must be one of ${pausables.join(', ')}`).optional(),
    reason: z
      .string('is required')
      .trim()
      .min(1, 'must not be empty')
      .max(500, 'must have at most 500 characters'),
  })
  .meta({ id: 'ReplayChange', example: { speed: 4, reason: 'catch up before the evening' } });

const at = z.iso.datetime();

/** What `GET /replay` answers. */
export const replaySchema = z
  .strictObject({
    mode: z.enum([...replayModes, 'broker']),
    speed: z.number().meta({ description: 'The pace now; 0 means at once.' }),
    finishWithin: z.int().nullable().meta({ description: 'Milliseconds.' }),
    paused: z.enum(pausables),
    state: z.enum(['live', 'setting-aside', 'replaying', 'paused']),
    guard: z
      .boolean()
      .meta({ description: 'True when the rest is replayed at once because it has waited too long.' }),
    backlog: z.int().min(0).meta({ description: 'Messages that wait for their turn.' }),
    lagMs: z.int().min(0).meta({ description: 'How late the next of them is.' }),
    oldestStoredAt: at.nullable(),
    doneAt: at.nullable().meta({ description: 'When the replay is over at this pace, at the latest.' }),
    changedBy: z.string().nullable(),
    changedAt: at.nullable(),
    reason: z.string().nullable(),
  })
  .meta({ id: 'Replay' });
