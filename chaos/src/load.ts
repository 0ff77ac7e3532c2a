import type { Webhook } from './history.ts';
import type { Random } from './random.ts';

/** One sending of a webhook, this long after its transaction begins. */
export interface Sending {
  afterMs: number;
  webhook: Webhook;
  /** Which of the two gateways is asked first. */
  gateway: number;
}

type Said = Pick<Webhook, 'action'> & { webhookId?: string | undefined };

// Shares of what a provider does on a bad day, so that a minute has hundreds of each.
const shares = { twice: 0.15, atOnce: 0.05, shuffled: 0.3, conflict: 0.04, secondNew: 0.05, hot: 0.04 };
const eventsOfHot = 14;
const lateMaxMs = 3_000;

/**
 * The transactions of a run, one after the other, each with its webhooks in the order in which they are sent: with
 * repeats, with reordering, with conflicts, and now and then one that is changed by many at the same moment.
 */
export function* createLoad(random: Random): Generator<Sending[], never> {
  let count = 0;
  for (;;) {
    const txId = random.uuid();
    const isHot = random.chance(shares.hot);
    const said = isHot ? hot() : usual(random);
    const webhooks = said.map(({ action, webhookId }): Webhook => {
      count += 1;
      const label = `w${String(count).padStart(6, '0')}`;
      const amount = random.int(1, 1_000_000);
      return {
        label,
        txId,
        action,
        amount,
        note: `${label} order`,
        webhookId: webhookId ?? ownId(label, random),
      };
    });
    yield isHot ? webhooks.map((webhook) => once(webhook, 0, random)) : spread(webhooks, random);
  }
}

const ownId = (label: string, random: Random) => (random.chance(0.5) ? `evt-${label}` : undefined);

function hot(): Said[] {
  return [{ action: 'NEW' }, ...Array.from({ length: eventsOfHot }, (): Said => ({ action: 'UPDATE' }))];
}

function usual(random: Random): Said[] {
  const said: Said[] = [{ action: 'NEW' }];
  const changes = random.int(0, 4);
  for (let index = 0; index < changes; index += 1) {
    said.push({ action: random.chance(0.3) ? 'DRAFT' : 'UPDATE' });
  }
  if (random.chance(shares.secondNew)) said.push({ action: 'NEW' });
  if (random.chance(0.5)) said.push({ action: 'APPROVED' });
  if (random.chance(shares.conflict)) {
    const webhookId = `shared-${random.uuid()}`;
    said.push({ action: 'UPDATE', webhookId }, { action: 'UPDATE', webhookId });
  }
  return said;
}

function once(webhook: Webhook, afterMs: number, random: Random): Sending {
  return { webhook, afterMs, gateway: random.int(0, 1) };
}

function spread(webhooks: readonly Webhook[], random: Random): Sending[] {
  const order = random.chance(shares.shuffled) ? random.shuffle(webhooks) : webhooks;
  let atMs = 0;
  return order.flatMap((webhook) => {
    atMs += random.int(0, 400);
    const first = once(webhook, atMs, random);
    if (random.chance(shares.atOnce)) return [first, { ...first, gateway: 1 - first.gateway }];
    if (random.chance(shares.twice)) return [first, once(webhook, atMs + random.int(0, lateMaxMs), random)];
    return [first];
  });
}
