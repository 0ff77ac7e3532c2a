import type { NatsConnection } from 'nats';

export const oldestServer = { major: 2, minor: 11 };
/** Older servers take the messages of a batch as so many single ones, without a word. */
const atomicBatchServer = { major: 2, minor: 12 };

export function versionOf(connection: NatsConnection): string {
  return connection.info?.version ?? '0.0.0';
}

export function hasAtomicBatches(connection: NatsConnection): boolean {
  return isAtLeast(versionOf(connection), atomicBatchServer);
}

export function isAtLeast(version: string, wanted: { major: number; minor: number }): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > wanted.major || (major === wanted.major && minor >= wanted.minor);
}
