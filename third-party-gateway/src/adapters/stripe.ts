import { createSecretKey } from 'node:crypto';
import { z } from 'zod';
import { decode, equals, findSigner, hmac, isFresh, readTimestamp, signaturesMax } from '../signatures.ts';
import type { Adapter, Candidate, RefusalCode, Verdict } from './adapter.ts';
import { currencyOf, type Json, noteOf, objectOf, textOf, timeOf, txIdOf } from './candidate.ts';

const signatureHeader = 'stripe-signature';
const secretPattern = /^whsec_[\x21-\x7e]{10,200}$/;
const itemPattern = /^[a-z0-9]{1,16}=[0-9A-Za-z]{1,200}$/;

const settings = {
  /** The connected account whose events are taken; a platform's own events name none. */
  account: z
    .string()
    .regex(/^acct_[A-Za-z0-9]{1,64}$/, 'must be acct_…')
    .optional(),
  /** The mode whose events are taken. Stripe sends those of test mode to a live endpoint for connected accounts, too. */
  livemode: z.boolean('must be true or false').optional(),
};

const refused = (code: RefusalCode): Verdict => ({ kind: 'refused', code });

/** Stripe's events: `Stripe-Signature` over `<time>.<body>`, several `v1` while a secret is rolled. */
export const stripe: Adapter<typeof settings> = {
  name: 'stripe',
  settings,
  keepsBody: true,
  secretRule: 'must be the signing secret of the endpoint, whsec_…',

  // Stripe uses the text as it is, prefix included.
  readSecret: (text) => (secretPattern.test(text) ? createSecretKey(Buffer.from(text)) : undefined),

  signatureHeaders: () => [signatureHeader],

  verify: ({ headers, body, receivedAt }, keys) => {
    const given = headers[signatureHeader];
    if (given === undefined) return refused('signature-missing');
    const items = String(given).split(',');
    const valuesOf = (scheme: string) =>
      items.filter((item) => item.startsWith(`${scheme}=`)).map((item) => item.slice(scheme.length + 1));
    const [time = '', ...moreTimes] = valuesOf('t');
    const timestampS = readTimestamp(time);
    // One more for the time.
    const readable = items.length <= signaturesMax + 1 && items.every((item) => itemPattern.test(item));
    if (!readable || timestampS === undefined || moreTimes.length > 0) return refused('signature-malformed');
    const signatures = valuesOf('v1').flatMap((text) => decode(text, 'hex') ?? []);

    const keyId = findSigner(keys, signatures, (signature, key) =>
      equals(signature, hmac('sha256', key, [`${time}.`, body])),
    );
    if (keyId === undefined) return refused('signature-wrong');
    if (!isFresh(timestampS, receivedAt)) return refused('signature-stale');
    return { kind: 'verified', keyId };
  },

  translate: (
    body,
    { source, settings: { account, livemode = account === undefined ? undefined : true } },
  ) => {
    const event = objectOf(body);
    const type = textOf(event.type);
    const said = saidBy.get(type);
    if (said === undefined) return unmapped(`nothing is made of events of the type ${type.slice(0, 100)}`);
    if (account !== undefined && event.account !== account)
      return unmapped('the event is of another account than the one that is set');
    if (livemode !== undefined && event.livemode !== livemode)
      return unmapped(`the event is not of the mode that is taken (livemode: ${livemode})`);
    const object = objectOf(objectOf(event.data).object);
    const { payment, ...rest } = said(object);
    const candidate: Candidate = {
      ...rest,
      txId: txIdOf(source, payment),
      currency: currencyOf(object.currency),
      eventId: event.id,
      occurredAt: timeOf(event.created),
    };
    return { kind: 'translated', candidates: [candidate], unmapped: doubtOf(type, event) };
  },

  sign: ({ body, keys, at }) => {
    const time = Math.floor(at.getTime() / 1_000);
    const signatures = keys.map(({ key }) => `v1=${hmac('sha256', key, [`${time}.`, body]).toString('hex')}`);
    return { body, headers: { [signatureHeader]: [`t=${time}`, ...signatures].join(',') } };
  },
};

function unmapped(why: string) {
  return { kind: 'translated' as const, candidates: [], unmapped: [why] };
}

// Before it Stripe made a refund of what was authorised and never captured (its changelog of that day).
const firstVersion = '2025-03-31';

function doubtOf(type: string, { api_version: version }: Json): string[] {
  if (!type.startsWith('refund.') || textOf(version) === '' || textOf(version) >= firstVersion) return [];
  return [`before API version ${firstVersion} a refund can be the release of an authorisation: look at it`];
}

/** What an object of Stripe's says about the payment intent of this id. */
type Said = Pick<Candidate, 'action' | 'amount' | 'note' | 'reference'> & { payment: unknown };

const intent =
  (action: string, amountOf: (object: Json) => unknown = ({ amount }) => amount) =>
  (object: Json): Said => ({
    payment: object.id,
    action,
    amount: amountOf(object),
    note: noteOf(object.description),
  });

const declined = (object: Json): Said => ({
  ...intent('DECLINED')(object),
  note: noteOf(objectOf(object.last_payment_error).message, object.description),
});

// A refund that is pending has left the balance already; one that failed or was canceled came back.
const cameBack: ReadonlySet<unknown> = new Set(['failed', 'canceled']);

const refund = ({ id, payment_intent, status, amount, reason }: Json): Said => ({
  payment: payment_intent,
  action: 'REFUNDED',
  reference: id,
  amount: cameBack.has(status) ? 0 : amount,
  note: noteOf(reason),
});

// An inquiry (`warning_…`) has taken no money yet, and a dispute that was won gave it back.
const takesMoney = (status: unknown) => status !== 'won' && !textOf(status).startsWith('warning_');

const dispute = ({ id, payment_intent, status, amount, reason }: Json): Said => ({
  payment: payment_intent,
  action: 'DISPUTED',
  reference: id,
  amount: takesMoney(status) ? amount : 0,
  note: noteOf(reason),
});

const saidBy: ReadonlyMap<string, (object: Json) => Said> = new Map([
  ['payment_intent.created', intent('NEW')],
  ['payment_intent.processing', intent('UPDATE')],
  ['payment_intent.requires_action', intent('UPDATE')],
  [
    'payment_intent.amount_capturable_updated',
    intent('AUTHORIZED', ({ amount_capturable }) => amount_capturable),
  ],
  ['payment_intent.succeeded', intent('APPROVED', ({ amount_received }) => amount_received)],
  ['payment_intent.payment_failed', declined],
  ['payment_intent.canceled', intent('CANCELED')],
  ...['created', 'updated', 'failed'].map((change) => [`refund.${change}`, refund] as const),
  ...['created', 'updated', 'closed', 'funds_withdrawn', 'funds_reinstated'].map(
    (change) => [`charge.dispute.${change}`, dispute] as const,
  ),
]);
