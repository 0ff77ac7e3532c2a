import { ConfigError } from './config.ts';
import type { RootLog } from './log.ts';

// An orchestrator kills after 10 s or more; what is not finished by then is given back by the broker.
const stopWithinMs = 9_000;

/** Reads the settings, or prints what is wrong with them, one line each, and exits 1. */
export function configOrExit<Config>(service: string, read: () => Config): Config {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const line of error.lines) process.stderr.write(`${service}: ${line}\n`);
    process.exit(1);
  }
}

/**
 * Runs `stop` once on SIGTERM or SIGINT and exits 0, or 1 when it did not end in time. A programming error
 * (unhandled rejection or exception) is logged, takes the same way out and exits 1: a supervisor starts it again.
 */
export function stopOnSignal({ log, stop }: { log: RootLog; stop: () => Promise<void> }): {
  fail: (error: unknown) => void;
} {
  let stopping = false;
  let code = 0;
  // What is settled has its line, those of the last moment too.
  const exit = async (withCode: number) => {
    await log.finish();
    process.exit(withCode);
  };
  const leave = async () => {
    if (stopping) return;
    stopping = true;
    const late = setTimeout(() => {
      log.error({ withinMs: stopWithinMs }, 'service.stopped-late');
      void exit(1);
    }, stopWithinMs);
    try {
      await stop();
    } catch (error) {
      log.error({ err: error }, 'service.stop-failed');
      return exit(1);
    }
    clearTimeout(late);
    log.info({ code }, 'service.stopped');
    await exit(code);
  };
  const fail = (error: unknown) => {
    log.fatal({ err: error }, 'service.failed');
    // Also when it happens on the way out: the supervisor must hear of it.
    code = 1;
    void leave();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'service.stopping');
      void leave();
    });
  }
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  return { fail };
}
