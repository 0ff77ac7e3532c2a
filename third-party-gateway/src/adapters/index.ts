import type { Adapter } from './adapter.ts';
import { adyen } from './adyen.ts';
import { hmac } from './hmac.ts';
import { standardWebhooks } from './standard-webhooks.ts';
import { stripe } from './stripe.ts';
import { xPayment } from './x-payment.ts';

/** Every adapter that a source can name. */
export const adapters: readonly Adapter[] = [xPayment, hmac, standardWebhooks, stripe, adyen];
