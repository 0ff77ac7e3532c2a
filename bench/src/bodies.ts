import { createHmac, randomUUID } from 'node:crypto';

/** A webhook as its sender sends it, ready to go. */
export interface Sendable {
  body: string;
  headers: Record<string, string>;
}

const json = { 'content-type': 'application/json' };

/** Each call another transaction. */
export function xPaymentBodies(): () => Sendable {
  const nextId = distinctIds();
  return () => ({
    body: JSON.stringify({ txId: nextId(), action: 'NEW', amount: 1_250, note: 'bench' }),
    headers: json,
  });
}

/** The same as Stripe says it, each signed anew, as its documentation describes it and not by our own code. */
export function stripeBodies(secret: string): () => Sendable {
  const nextId = distinctIds();
  return () => {
    const id = nextId();
    const seconds = Math.floor(Date.now() / 1_000);
    const object = {
      id: `pi_${id}`,
      object: 'payment_intent',
      amount: 1_250,
      amount_received: 0,
      capture_method: 'automatic',
      created: seconds,
      currency: 'eur',
      description: 'bench',
      livemode: false,
      metadata: {},
      status: 'requires_payment_method',
    };
    const body = JSON.stringify({
      id: `evt_${id}`,
      object: 'event',
      api_version: '2026-01-28',
      created: seconds,
      data: { object },
      livemode: false,
      pending_webhooks: 1,
      type: 'payment_intent.created',
    });
    const signature = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
    return { body, headers: { ...json, 'stripe-signature': `t=${seconds},v1=${signature}` } };
  };
}

/** UUIDs that cost nothing: only their ends differ. */
function distinctIds(): () => string {
  const start = randomUUID().slice(0, 24);
  let count = 0;
  return () => {
    count += 1;
    return start + count.toString(16).padStart(12, '0');
  };
}
