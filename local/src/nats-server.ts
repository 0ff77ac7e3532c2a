import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Running, startChild } from './child.ts';
import { freePort } from './ports.ts';

export type NatsServer = Running & { uri: string; port: number };

export type NatsServerOptions = {
  binary: string;
  /** Omitted: a free one. The same port and folder again is the same broker, restarted. */
  port?: number;
  storeDir: string;
  /** How often it syncs to disk; omitted: before every acknowledgement. `2m` is nats-server's own default. */
  syncInterval?: 'always' | '2m';
  /** Text for the end of the configuration file: users, limits, whatever a test is about. */
  config?: string;
};

/** A large store is read through before the server listens. */
const READY_WITHIN_MS = 60_000;

/** Somebody may take the free port between our look and the server's. */
const PORT_TRIES = 3;

/** Resolves when the broker takes connections: JetStream on, loopback only, every acknowledgement on disk. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  if (options.port !== undefined) return launch(options, options.port);
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      return await launch(options, port);
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt === PORT_TRIES) throw error;
    }
  }
}

class PortTakenError extends Error {
  override name = 'PortTakenError';
}

async function launch(
  { binary, storeDir, syncInterval = 'always', config = '' }: NatsServerOptions,
  port: number,
): Promise<NatsServer> {
  const folder = resolve(storeDir);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'nats-server.conf');
  writeFileSync(file, configText({ port, storeDir: folder, syncInterval, config }));

  const child = startChild({ command: binary, args: ['--config', file], stopWithinMs: 10_000 });
  const deadline = Date.now() + READY_WITHIN_MS;
  let exit: Awaited<typeof child.exited> | undefined;
  void child.exited.then((how) => {
    exit = how;
  });
  while (!child.lines.some((line) => line.includes('Server is ready'))) {
    if (exit !== undefined) throw startFailure({ port, lines: child.lines });
    if (Date.now() > deadline) {
      await child.kill();
      throw new Error(`nats-server was not ready within ${READY_WITHIN_MS / 1000} s\n${tail(child.lines)}`);
    }
    await sleep(10);
  }
  return { ...child, port, uri: `nats://127.0.0.1:${port}` };
}

function startFailure({ port, lines }: { port: number; lines: readonly string[] }): Error {
  if (lines.some((line) => line.includes('address already in use'))) {
    return new PortTakenError(`nats-server cannot listen on port ${port}: it is in use`);
  }
  return new Error(`nats-server did not start\n${tail(lines)}`);
}

/** JSON's strings are valid in this format too, whatever characters the path has. */
function configText({
  port,
  storeDir,
  syncInterval,
  config,
}: Required<Omit<NatsServerOptions, 'binary'>>): string {
  return `# Written at every start.
listen: "127.0.0.1:${port}"
max_payload: 1MB
jetstream {
  store_dir: ${JSON.stringify(storeDir)}
  # With always, a publish acknowledgement means: on disk.
  sync_interval: ${JSON.stringify(syncInterval)}
}
${config}
`;
}

function tail(lines: readonly string[]): string {
  return lines.slice(-5).join('\n');
}
