/** What a sample says. Both of one reading of the clock: `time` to the millisecond, `seconds` as some senders tell it. */
export interface SampleValues {
  txId: string;
  amount: number;
  currency: string;
  note: string;
  reference: string;
  eventId: string;
  at: Date;
}

/** The template with every `$name` in its texts replaced; a text that is nothing else becomes the value itself. */
export function fillSample(template: unknown, values: SampleValues): unknown {
  const { at, currency } = values;
  const seconds = Math.floor(at.getTime() / 1_000);
  const known: Record<string, string | number> = {
    txId: values.txId,
    amount: values.amount,
    currency,
    currencyLower: currency.toLowerCase(),
    note: values.note,
    reference: values.reference,
    eventId: values.eventId,
    time: at.toISOString(),
    seconds,
    wholeTime: new Date(seconds * 1_000).toISOString(),
  };
  return fill(template, known);
}

function fill(template: unknown, known: Record<string, string | number>): unknown {
  if (Array.isArray(template)) return template.map((part) => fill(part, known));
  if (typeof template === 'object' && template !== null) {
    return Object.fromEntries(Object.entries(template).map(([key, value]) => [key, fill(value, known)]));
  }
  if (typeof template !== 'string') return template;
  const [, alone = ''] = /^\$([A-Za-z]+)$/.exec(template) ?? [];
  return known[alone] ?? template.replaceAll(/\$([A-Za-z]+)/g, (text, name) => String(known[name] ?? text));
}
