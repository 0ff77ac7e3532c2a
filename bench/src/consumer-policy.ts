import { randomUUID } from 'node:crypto';
import { provision, streamDefaults } from '@paystream/nats';
import type { NatsConnection } from 'nats';
import { ReplayPolicy } from 'nats';
import { sendWebhook } from './load.ts';

const stream = 'payment';
const consumer = 'payment-consumer';

/** Makes the consumer anew, with this replay policy. */
export async function renewConsumer(
  nats: NatsConnection,
  replayPolicy: 'instant' | 'original',
): Promise<void> {
  const manager = await nats.jetstreamManager();
  await manager.consumers.delete(stream, consumer);
  await provision(nats, { mode: 'create', streams: { ...streamDefaults, replayPolicy } });
  const { config } = await manager.consumers.info(stream, consumer);
  // The gateway provisions too, and may have been first.
  const wanted = replayPolicy === 'original' ? ReplayPolicy.Original : ReplayPolicy.Instant;
  if (config.replay_policy !== wanted)
    throw new Error(`the consumer has replay policy ${config.replay_policy}`);
}

/** Lets the consumer catch up once, as any consumer has that was in use before the outage. */
export async function useConsumer(nats: NatsConnection, gatewayUrl: string): Promise<void> {
  await sendWebhook(gatewayUrl, randomUUID());
  const messages = await (await nats.jetstream().consumers.get(stream, consumer)).fetch({
    max_messages: 1,
    expires: 2_000,
  });
  for await (const message of messages) await message.ackAck();
  const left = await waiting(nats);
  if (left > 0) throw new Error(`${left} messages are left of what was before`);
}

/** How many messages wait or are in hand, in all work queues. */
export async function waiting(nats: NatsConnection): Promise<number> {
  const manager = await nats.jetstreamManager();
  const infos = await Promise.all([stream, 'payment-backlog'].map((name) => manager.streams.info(name)));
  return infos.reduce((sum, { state }) => sum + state.messages, 0);
}
