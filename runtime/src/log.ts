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
  /**
   * Resolves when every line is written, when nobody has read any for a second, or when the time is over. Nothing may be logged
   * after it.
   */
  finish(options: { withinMs: number }): Promise<void>;
};

// Some twenty thousand lines, for a reader that stands still. Work goes on; those behind them are dropped and counted.
const unreadBytesMax = 8_388_608;
const readAgainWithinMs = 1_000;

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
  // With a least length, even of 1, it tells when all is written; with none it says so at once.
  const stdout = pino.destination({ minLength: 1, maxLength: unreadBytesMax });
  // A log that cannot be written (a full disk) ends nobody's work. What is kept is tried again with the next line.
  stdout.on('error', () => undefined);
  // Without its way to write at once: a fatal line would go by that, and wait for whoever does not read.
  const patient = {
    write: (line: string) => stdout.write(line),
    flush: (written: () => void) => stdout.flush(written),
  };
  const log = pino(options, patient);
  tellDropped(log, stdout);
  return withFinish(log, stdout);
}

type Output = ReturnType<typeof pino.destination>;

/** In the place where they are missing: what is logged later stands behind it. */
function tellDropped(log: Log, output: Output): void {
  let dropped = 0;
  output.on('drop', () => {
    dropped += 1;
  });
  const tell = () => {
    if (dropped === 0) return;
    const lines = dropped;
    log.error({ lines }, 'log.dropped');
    // This line may have found no room either.
    dropped = dropped === lines ? 0 : lines;
  };
  // Only behind the event there is room for what was written.
  output.on('write', () => queueMicrotask(tell));
}

function withFinish(log: Log, output?: Output): RootLog {
  const finish: RootLog['finish'] = async ({ withinMs }) => {
    const written = new Promise<void>((resolve) => log.flush(() => resolve()));
    const ends = [written, pause(withinMs)];
    await Promise.race(output === undefined ? ends : [...ends, whenStill(output)]);
    // Otherwise the process would wait at its exit, for ever, for whoever does not read.
    output?.destroy();
  };
  return Object.assign(log, { finish });
}

function whenStill(output: Output): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, readAgainWithinMs);
    output.on('write', () => timer.refresh());
  });
}

/** Words and stack, of its causes too. A driver hangs on its errors whole documents that could not be written. */
function pickError(error: unknown) {
  if (!(error instanceof Error)) return String(error);
  const { type, message, stack, code } = pino.stdSerializers.err(error);
  return { type, message, stack, code };
}
