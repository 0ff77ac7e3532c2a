import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import { pause } from './pause.ts';

export type Log = Logger;

/**
 * What every log has in common. Lines are built from picked fields, and so is what is told of an error: nothing is left to
 * redact, which by a path for any field would cost every line a copy of all its values.
 */
const logOptions: LoggerOptions = {
  timestamp: pino.stdTimeFunctions.isoTime,
  serializers: { err: pickError },
};

/** The log of a process, which its other logs are children of. */
export type RootLog = Log & {
  /** Resolves when every line has been written, or when whoever reads them has stood still for a second. Then nothing more is written. */
  finish(): Promise<void>;
};

// Some twenty thousand lines, for a reader that stands still for a moment. Work goes on; what is behind them is not told.
const unreadBytesMax = 8_388_608;
const readWithinMs = 1_000;

/** One JSON object per line on stdout; pretty only when a person looks (stdout is a terminal). */
export function createLog(
  { name, level }: { name: string; level: string },
  destination?: DestinationStream,
): RootLog {
  const options = { ...logOptions, name, level };
  if (destination !== undefined) return withFinish(pino(options, destination));
  if (process.stdout.isTTY) {
    const readable = { ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' };
    return withFinish(pino({ ...options, transport: { target: 'pino-pretty', options: readable } }));
  }
  // With a least length, even of 1, pino tells when all is written; with none it only says that it is asked in vain.
  const stdout = pino.destination({ minLength: 1, maxLength: unreadBytesMax });
  const log = pino(options, stdout);
  let dropped = 0;
  stdout.on('drop', () => {
    dropped += 1;
  });
  stdout.on('drain', () => {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    log.error({ lines }, 'log.dropped');
  });
  // Otherwise the process would wait at its exit, for ever, for whoever does not read.
  return withFinish(log, () => stdout.destroy());
}

function withFinish(log: Log, giveUp: () => void = () => undefined): RootLog {
  const finish = async () => {
    const written = new Promise<boolean>((resolve) => log.flush(() => resolve(true)));
    const late = pause(readWithinMs).then(() => false);
    if (!(await Promise.race([written, late]))) giveUp();
  };
  return Object.assign(log, { finish });
}

/** Words and stack, of its causes too. A driver hangs on its errors whole documents that could not be written. */
function pickError(error: unknown) {
  if (!(error instanceof Error)) return String(error);
  const { type, message, stack, code } = pino.stdSerializers.err(error);
  return { type, message, stack, code };
}
