import { writeSync } from 'node:fs';
import { z } from 'zod';
import type { Log } from './log.ts';

/** The places at which a process can be told to die, each between two steps of which only the first was done. */
export const crashPoints = [
  'before-publish',
  'after-publish-ack',
  'before-write',
  'after-write-before-ack',
  'between-dead-letter-and-term',
] as const;
export type CrashPoint = (typeof crashPoints)[number];

/** Called by the code wherever it comes to such a place. */
export type PassPoint = (point: CrashPoint) => void;

/** A hook for tests, and never for production: the process kills itself where it first comes to this place. */
export const crashAtSetting = z
  .enum(crashPoints, `must be one of ${crashPoints.join(', ')}, and is for tests only`)
  .optional();

/** What everybody has but a process that was told to die. */
export const passBy: PassPoint = () => undefined;

/** Kills the process, without any last word to broker or database, when it comes to the place; without one it does nothing. */
export function createCrashPoint({ at, log }: { at: CrashPoint | undefined; log: Log }): PassPoint {
  if (at === undefined) return passBy;
  log.warn({ at }, 'crash-point.armed');
  return (point) => {
    if (point !== at) return;
    // The log writes in the background, and there is no background after this.
    writeSync(1, `${JSON.stringify({ level: 60, point, msg: 'crash-point.reached' })}\n`);
    process.kill(process.pid, 'SIGKILL');
  };
}
