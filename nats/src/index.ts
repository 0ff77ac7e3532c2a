export { type BrokerCheckState, durabilityOf, watchBroker } from './broker-check.ts';
export { type BrokerConnection, type BrokerState, connectBroker } from './connection.ts';
export { deadLetterHeaders } from './dead-letter.ts';
export * from './messages.ts';
export { type Finding, findingLine } from './preflight.ts';
export { isSafe, type ProvisionMode, type ProvisionReport, provision } from './provision.ts';
export { createPublisher, type Publisher, type PublishOutcome } from './publisher.ts';
export { type StreamOptions, streamDefaults } from './streams.ts';
export {
  createSubscription,
  type Delivery,
  retryDelayMs,
  type Settled,
  type Settlement,
  type Subscription,
  type SubscriptionState,
} from './subscription.ts';
