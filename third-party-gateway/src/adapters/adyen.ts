import { createSecretKey } from 'node:crypto';
import { z } from 'zod';
import { readJsonBody } from '../json-body.ts';
import { decode, equals, findSigner, hmac } from '../signatures.ts';
import type { Adapter, Candidate, Key, RefusalCode, Verdict } from './adapter.ts';
import { type Json, noteOf, objectOf, textOf, txIdOf } from './candidate.ts';

const settings = {
  /** `auto`: Adyen captures by itself, so that an authorisation is the money. */
  captureMode: z.enum(['manual', 'auto'], 'must be manual or auto').default('manual'),
  /** The merchant account whose items are taken. */
  account: z.string().min(1).max(80).optional(),
};

const refused = (code: RefusalCode): Verdict => ({ kind: 'refused', code });

/** Adyen's standard webhooks: several items in a request, each with an HMAC of eight of its fields. */
export const adyen: Adapter<typeof settings> = {
  name: 'adyen',
  settings,
  keepsBody: true,
  secretRule: 'must be the HMAC key of the endpoint, 64 hex digits',

  readSecret: (text) =>
    /^[0-9A-Fa-f]{64}$/.test(text) ? createSecretKey(Buffer.from(text, 'hex')) : undefined,

  signatureHeaders: () => [],

  // The signatures stand among what they sign, so it is parsed before. Of the parts, only what is signed moves money.
  verify: ({ body }, keys) => {
    const json = readJsonBody(body);
    if (json.kind === 'refused') return { kind: 'malformed', detail: json.detail };
    let verdict: Verdict = refused('signature-missing');
    for (const item of itemsOf(json.value)) {
      verdict = verifyItem(item, keys);
      // One item that nobody signed makes the whole request suspect, and the rest of it is not worth the work.
      if (verdict.kind !== 'verified') return verdict;
    }
    return verdict;
  },

  translate: (body, { source, settings: { captureMode, account } }) => {
    const candidates: Candidate[] = [];
    const unmapped: string[] = [];
    for (const [index, item] of itemsOf(body).entries()) {
      const { merchantAccountCode } = item;
      const type = `${textOf(item.eventCode)} ${textOf(item.success)}`;
      const said = saidBy.get(type)?.(captureMode);
      const isOther = account !== undefined && merchantAccountCode !== account;
      // Only an authorisation is the payment; all else happens to one, and Adyen names it only where it is told to.
      const isAlone = !type.startsWith('AUTHORISATION ') && textOf(item.originalReference) === '';
      if (isOther) unmapped.push(`item ${index + 1} is of another account than the one that is set`);
      else if (said === undefined)
        unmapped.push(`nothing is made of item ${index + 1}: ${type.slice(0, 100)}`);
      else if (isAlone) unmapped.push(`item ${index + 1} does not say of which payment it is`);
      else if (said.action === 'CANCELED' && said.stands && objectOf(item.amount).value === 0)
        // An amount of 0 is our word for one that did not happen.
        unmapped.push(`item ${index + 1} is a cancellation that does not say of how much`);
      else candidates.push(candidateOf(source, item, said));
    }
    return { kind: 'translated', candidates, unmapped };
  },

  sign: ({ body, keys }) => {
    const request = JSON.parse(body);
    // An item has room for one signature.
    for (const { key } of keys.slice(0, 1)) {
      for (const item of itemsOf(request)) {
        const [text = ''] = signedTextsOf(item) ?? [];
        const hmacSignature = hmac('sha256', key, [text]).toString('base64');
        Object.assign(item, { additionalData: { ...objectOf(item.additionalData), hmacSignature } });
      }
    }
    return { body: JSON.stringify(request), headers: {} };
  },
};

function verifyItem(item: Json, keys: readonly Key[]): Verdict {
  const given = objectOf(item.additionalData).hmacSignature;
  if (given === undefined) return refused('signature-missing');
  const signature = typeof given === 'string' ? decode(given, 'base64') : undefined;
  const texts = signedTextsOf(item);
  if (signature === undefined || texts === undefined) return refused('signature-malformed');
  const keyId = findSigner(keys, [signature], (one, key) =>
    texts.some((text) => equals(one, hmac('sha256', key, [text]))),
  );
  return keyId === undefined ? refused('signature-wrong') : { kind: 'verified', keyId };
}

function itemsOf(body: unknown): Json[] {
  const { notificationItems } = objectOf(body);
  const items = Array.isArray(notificationItems) ? notificationItems : [];
  return items.map((wrapped) => objectOf(objectOf(wrapped).NotificationRequestItem));
}

/**
 * What an item's signature is over, or undefined where a field could be mistaken for two. Only the merchant's own reference
 * may hold the characters that separate fields. Whether Adyen escapes them there, its documents and its libraries do not
 * agree: both are tried, and neither can move a character into another field.
 */
function signedTextsOf(item: Json): string[] | undefined {
  const { value, currency } = objectOf(item.amount);
  const { pspReference, originalReference, merchantAccountCode, merchantReference, eventCode, success } =
    item;
  const before = [pspReference, originalReference, merchantAccountCode].map(textOf);
  const after = [value, currency, eventCode, success].map(textOf);
  if ([...before, ...after].some((field) => /[:\\]/.test(field))) return undefined;
  const reference = textOf(merchantReference);
  const escaped = reference.replaceAll(/[\\:]/g, (character) => `\\${character}`);
  return [...new Set([escaped, reference])].map((own) => [...before, own, ...after].join(':'));
}

interface Said {
  action: string;
  /** False: it failed or came back, and then nothing of it stands. */
  stands: boolean;
  /** What is asked for by a request of its own has a reference beside the payment's: the failure of one says nothing of another. */
  isPart: boolean;
}

type SaidBy = (captureMode: 'manual' | 'auto') => Said;
const part =
  (action: string, stands: boolean): SaidBy =>
  () => ({ action, stands, isPart: true });
const whole =
  (action: string, stands: boolean): SaidBy =>
  () => ({ action, stands, isPart: false });
/** What Adyen captured by itself is the authorised amount: another capture of it says it again, and a failed one takes it back. */
const capture =
  (stands: boolean): SaidBy =>
  (captureMode) => ({ action: 'CAPTURED', stands, isPart: captureMode === 'manual' });
const authorised: SaidBy = (captureMode) => ({
  action: captureMode === 'auto' ? 'APPROVED' : 'AUTHORIZED',
  stands: true,
  isPart: false,
});

/** By event code and success. Of a failure that did not happen (`CAPTURE_FAILED false`) nothing can be said. */
const saidBy: ReadonlyMap<string, SaidBy> = new Map([
  ['AUTHORISATION true', authorised],
  ['AUTHORISATION false', whole('DECLINED', true)],
  ['CAPTURE true', capture(true)],
  ['CAPTURE false', capture(false)],
  ['CAPTURE_FAILED true', capture(false)],
  ['CANCELLATION true', part('CANCELED', true)],
  ['CANCELLATION false', part('CANCELED', false)],
  ['REFUND true', part('REFUNDED', true)],
  ['REFUND false', part('REFUNDED', false)],
  ['REFUND_FAILED true', part('REFUNDED', false)],
  ['CHARGEBACK true', part('DISPUTED', true)],
  ['CHARGEBACK false', part('DISPUTED', false)],
  // One dispute, one reference: the last word on it counts.
  ['CHARGEBACK_REVERSED true', part('DISPUTED', false)],
  ['SECOND_CHARGEBACK true', part('DISPUTED', true)],
  ['PREARBITRATION_WON true', part('DISPUTED', false)],
  ['PREARBITRATION_LOST true', part('DISPUTED', true)],
]);

function candidateOf(source: string, item: Json, { action, stands, isPart }: Said): Candidate {
  const { pspReference, originalReference, eventCode, success, eventDate, reason } = item;
  const { value, currency } = objectOf(item.amount);
  return {
    txId: txIdOf(source, originalReference || pspReference),
    action,
    amount: stands ? value : 0,
    currency,
    note: noteOf(reason),
    reference: isPart ? pspReference : undefined,
    eventId: [pspReference, eventCode, success].map(textOf).join(':'),
    occurredAt: eventDate,
  };
}
