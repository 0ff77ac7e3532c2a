import { actions } from '@paystream/nats';
import { z } from 'zod';
import {
  bodySignatureHeaders,
  bodySignatureSchema,
  signBody,
  verifyBodySignature,
} from '../body-signature.ts';
import { followJsonPath, parseJsonPath } from '../json-path.ts';
import { readTextSecret, textSecretRule } from '../signatures.ts';
import type { Adapter } from './adapter.ts';
import { currencyOf, noteOf, textOf, timeOf, txIdOf } from './candidate.ts';

const path = z.string().transform((text, context) => {
  const steps = parseJsonPath(text);
  if (steps !== undefined) return steps;
  context.addIssue('must be a path to one value, such as $.data.id or $.items[0].id');
  return z.NEVER;
});

const settings = {
  signature: bodySignatureSchema.prefault({}),
  /** Where in the body each field stands. */
  mapping: z.strictObject({
    txId: path,
    action: z.strictObject({
      path,
      /** The sender's words and ours. What is not among them is kept and not applied. */
      values: z
        .record(z.string(), z.enum(actions, `must be one of ${actions.join(', ')}`))
        .refine((values) => Object.keys(values).length > 0, 'must name at least one value'),
    }),
    amount: path,
    currency: path.optional(),
    note: path.optional(),
    reference: path.optional(),
    eventId: path.optional(),
    occurredAt: path.optional(),
  }),
};

/** Any sender that signs its body with an HMAC and says all of an event in one JSON document. */
export const hmac: Adapter<typeof settings> = {
  name: 'hmac',
  settings,
  keepsBody: true,
  secretRule: textSecretRule,
  readSecret: readTextSecret,
  signatureHeaders: ({ signature }) => bodySignatureHeaders(signature),
  verify: (webhook, keys, { signature }) => verifyBodySignature(webhook, keys, signature),
  translate: (body, { source, settings: { mapping } }) => {
    const at = (steps: readonly (string | number)[] | undefined) =>
      steps === undefined ? undefined : followJsonPath(body, steps);
    const word = textOf(at(mapping.action.path));
    const action = Object.hasOwn(mapping.action.values, word) ? mapping.action.values[word] : undefined;
    if (action === undefined) {
      const why = `no action is mapped to the value ${JSON.stringify(word.slice(0, 100))}`;
      return { kind: 'translated', candidates: [], unmapped: [why] };
    }
    const occurredAt = at(mapping.occurredAt);
    const candidate = {
      txId: txIdOf(source, idOf(at(mapping.txId))),
      action,
      amount: at(mapping.amount),
      currency: currencyOf(at(mapping.currency)),
      note: noteOf(at(mapping.note)),
      reference: idOf(at(mapping.reference)),
      eventId: idOf(at(mapping.eventId)),
      occurredAt: timeOf(occurredAt) ?? occurredAt,
    };
    return { kind: 'translated', candidates: [candidate], unmapped: [] };
  },
  sign: (unsigned, { signature }) => signBody(unsigned, signature),
};

/** Some senders count their ids. */
function idOf(value: unknown): unknown {
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
}
