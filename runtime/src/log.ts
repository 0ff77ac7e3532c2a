import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';

export type Log = Logger;

/**
 * What every log has in common. Lines are built from picked fields, and so is what is told of an error: nothing is left to
 * redact, which by a path for any field would cost every line a copy of all its values.
 */
const logOptions: LoggerOptions = {
  timestamp: pino.stdTimeFunctions.isoTime,
  serializers: { err: pickError },
};

/** One JSON object per line on stdout; pretty only when a person looks (stdout is a terminal). */
export function createLog(
  { name, level }: { name: string; level: string },
  destination?: DestinationStream,
): Log {
  const options = { ...logOptions, name, level };
  if (destination !== undefined) return pino(options, destination);
  if (!process.stdout.isTTY) return pino(options);
  return pino({
    ...options,
    transport: { target: 'pino-pretty', options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' } },
  });
}

/** Words and stack, of its causes too. A driver hangs on its errors whole documents that could not be written. */
function pickError(error: unknown) {
  if (!(error instanceof Error)) return String(error);
  const { type, message, stack, code } = pino.stdSerializers.err(error);
  return { type, message, stack, code };
}
