import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;

/**
 * One JSON object per line on stdout; pretty only when a person looks (stdout is a terminal). Lines are
 * built from picked fields, so nothing needs redacting but what a driver might put into an error.
 */
export function createLog(
  { name, level }: { name: string; level: string },
  destination?: DestinationStream,
): Log {
  const options = {
    name,
    level,
    // By the name of the field: a path for any field costs every line a copy of all its values.
    redact: ['err.password', 'err.pass', 'err.authorization'],
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  if (destination !== undefined) return pino(options, destination);
  if (!process.stdout.isTTY) return pino(options);
  return pino({
    ...options,
    transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' } },
  });
}
