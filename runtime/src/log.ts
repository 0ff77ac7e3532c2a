import { type Logger, pino } from 'pino';

export type Log = Logger;

/**
 * One JSON object per line on stdout; pretty only when a person looks (stdout is a terminal). Lines are
 * built from picked fields, so nothing needs redacting but what a driver might put into an error.
 */
export function createLog({ name, level }: { name: string; level: string }): Log {
  const options = {
    name,
    level,
    redact: ['*.password', '*.pass', '*.authorization'],
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  if (!process.stdout.isTTY) return pino(options);
  return pino({
    ...options,
    transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' } },
  });
}
