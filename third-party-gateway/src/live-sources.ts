import { ConfigError, type Log } from '@paystream/runtime';
import type { Source } from './source.ts';

export interface LiveSources {
  /** By name. A request uses the ones that it found at its beginning to its end. */
  current(): ReadonlyMap<string, Source>;
  /** Reads them again. What is wrong is logged, and those from before stay. */
  reload(): void;
}

/** The sources, exchanged as a whole while requests go on. Throws a ConfigError when they cannot be read the first time. */
export function createLiveSources({ read, log }: { read: () => readonly Source[]; log: Log }): LiveSources {
  const take = () => {
    const sources = read();
    for (const { name, verifies } of sources) {
      if (!verifies) log.warn({ source: name }, 'source.not-verified');
    }
    return new Map(sources.map((source) => [source.name, source]));
  };
  let current = take();

  return {
    current: () => current,
    reload: () => {
      try {
        current = take();
        log.info({ sources: [...current.keys()] }, 'sources.reloaded');
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        log.error({ lines: error.lines }, 'sources.not-reloaded');
      }
    },
  };
}
