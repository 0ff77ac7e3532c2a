import { ConfigError } from './config.ts';
import type { RootLog } from './log.ts';
import { pause } from './pause.ts';

// An orchestrator kills after 10 s or more. What is not finished in time is given back by the broker.
const goneWithinMs = 9_000;
// The rest is for the last lines of the log.
const stopWithinMs = 8_000;

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
  const leave = async () => {
    if (stopping) return;
    stopping = true;
    const goneBy = performance.now() + goneWithinMs;
    const ended = await Promise.race([
      stop().then(
        () => ({ kind: 'stopped' as const }),
        (error: unknown) => ({ kind: 'failed' as const, error }),
      ),
      pause(stopWithinMs).then(() => ({ kind: 'late' as const })),
    ]);
    if (ended.kind !== 'stopped') code = 1;
    if (ended.kind === 'late') log.error({ withinMs: stopWithinMs }, 'service.stopped-late');
    else if (ended.kind === 'failed') log.error({ err: ended.error }, 'service.stop-failed');
    else log.info({ code }, 'service.stopped');
    // What is settled has its line, those of the last moment too.
    await log.finish({ withinMs: goneBy - performance.now() });
    process.exit(code);
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
