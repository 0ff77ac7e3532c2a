import { findServer } from '../setup/find.js';
import type { ServerName } from '../setup/servers.js';

/** The two binaries, as the set-up left them; never fetches. */
export function resolveServers(): { natsServer: string; mongod: string } {
  return { natsServer: resolveServer('nats-server'), mongod: resolveServer('mongod') };
}

/** One binary: installed or cached, else an error that says how to get it. */
export function resolveServer(name: ServerName): string {
  const { found, passedOver } = findServer(name, process.env);
  if (found === undefined) {
    throw new Error(`There is no ${name} (${passedOver.join('; ')}). Run: node local/setup.js`);
  }
  return found.path;
}
