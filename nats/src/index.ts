export {
  type BatchOptions,
  type BatchOutcome,
  batchMax,
  publishBatch,
} from './batch.ts';
export { type BrokerAddress, brokerAddressOf } from './broker-address.ts';
export { type BrokerCheckState, durabilityOf, watchBroker } from './broker-check.ts';
export { type BrokerConnection, type BrokerState, connectBroker } from './connection.ts';
export { deadLetterHeaders } from './dead-letter.ts';
export {
  createDeadLetters,
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetters,
  DeadLettersUnavailable,
} from './dead-letters.ts';
export { traceIdIn } from './delivery.ts';
export * from './fields.ts';
export { type BrokerFigures, readFigures, type StreamFigures } from './figures.ts';
export * from './messages.ts';
export { type Headers, originId } from './origin.ts';
export { type OutgoingMessage, toOutgoing } from './outgoing.ts';
export {
  type BacklogPosition,
  type PaymentPosition,
  readBacklog,
  readPaymentPosition,
} from './positions.ts';
export { type Finding, findingLine } from './preflight.ts';
export { isSafe, type ProvisionMode, type ProvisionReport, provision } from './provision.ts';
export { createPublisher, type Publisher, type PublishOutcome } from './publisher.ts';
export {
  type RefusalReason,
  type RefusedWebhook,
  refusalReasons,
} from './refused-webhook.ts';
export {
  createRefusedWebhooks,
  type KeptRefused,
  RefusedUnavailable,
  type RefusedWebhooks,
} from './refused-webhooks.ts';
export { createSetAside, type SetAside, type SetAsideOutcome } from './set-aside.ts';
export {
  ackWaitMs,
  outageBudgetMs,
  type StreamOptions,
  streamDefaults,
  streamOptionsOf,
  type WorkQueueName,
} from './streams.ts';
export {
  createSubscription,
  type Delivery,
  retryDelayMs,
  type Settled,
  type Settlement,
  type Subscription,
  type SubscriptionOptions,
  type SubscriptionState,
} from './subscription.ts';
export { tracePublisher } from './traced-publisher.ts';
export {
  requestTranslation,
  serveTranslations,
  type Translated,
  type WebhookToTranslate,
} from './translation.ts';
export { toUnmapped, type UnmappedWebhook, webhookBytesMax } from './webhooks.ts';
